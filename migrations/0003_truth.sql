-- What somebody without metrics must be able to see: what audits found, and why writing stopped.

create table indexer.audit (
    id bigint generated always as identity primary key,
    finished_at timestamptz not null default now(),
    first_block bigint not null,
    last_block bigint not null,
    against text not null,
    sampled boolean not null,
    verdict text not null check (verdict in ('clean', 'different', 'cannot_tell')),
    compared bigint not null,
    rows bigint not null,
    differences bigint not null,
    unsure_blocks bigint not null,
    repaired_blocks bigint not null,
    unrepaired_blocks bigint not null
);
comment on table indexer.audit is 'Journal of audits that came to their end, one row each';
comment on column indexer.audit.first_block is 'The range is inclusive on both sides';
comment on column indexer.audit.against is 'What the truth was taken from: rpc, receipts, or the name of an endpoint';
comment on column indexer.audit.sampled is 'Whether only random parts of the range were compared';
comment on column indexer.audit.compared is 'Blocks times sources that were compared';
comment on column indexer.audit.differences is 'Rows that were missing, extra or altered, repaired ones included';
comment on column indexer.audit.unsure_blocks is 'Blocks of which it could not be told';

create table indexer.halt (
    id bigint generated always as identity primary key,
    halted_at timestamptz not null default now(),
    kind text not null,
    reason text not null
);
comment on table indexer.halt is 'Journal of stops until a person looks; over as soon as the cursor moved later';
comment on column indexer.halt.kind is 'below_finality: a final block is gone; too_deep: a reorg deeper than chain.max_reorg_depth';

-- Where the reading role exists it may see these journals too.
do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'indexer_reader') then
        grant select on indexer.audit, indexer.halt to indexer_reader;
    end if;
end
$$;
