-- What an audit put right.

create table indexer.repair (
    id bigint generated always as identity primary key,
    repaired_at timestamptz not null default now(),
    first_block bigint not null,
    last_block bigint not null check (last_block >= first_block),
    source_ids bigint[] not null,
    rows_removed bigint not null,
    rows_added bigint not null,
    reason text not null,
    differences jsonb not null
);
comment on table indexer.repair is 'Journal of ranges whose rows an audit replaced by what the node and its receipts say';
comment on column indexer.repair.repaired_at is 'When we replaced the rows';
comment on column indexer.repair.first_block is 'The range is inclusive on both sides';
comment on column indexer.repair.source_ids is 'The sources whose rows were replaced in this range';
comment on column indexer.repair.rows_removed is 'Rows of events, undecoded logs and transactions taken out, equal ones included';
comment on column indexer.repair.reason is 'What the truth was taken from: rpc, receipts, or the name of an endpoint';
comment on column indexer.repair.differences is 'The first differences found: block, kind, source, position in the block';

-- Where the reading role exists it may see this journal too.
do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'indexer_reader') then
        grant select on indexer.repair to indexer_reader;
    end if;
end
$$;
