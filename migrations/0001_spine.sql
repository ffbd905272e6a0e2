-- The tables that the indexer keeps beside the event tables of each contract.
-- Hashes and addresses are bytea, amounts are wei, times are those of the blocks unless said otherwise.

create table indexer.chain (
    singleton boolean primary key default true check (singleton),
    chain_id bigint,
    genesis_hash bytea check (octet_length(genesis_hash) = 32),
    name text,
    epoch bigint not null default 0,
    leader_pid integer,
    leader_host text,
    leader_since timestamptz,
    event_view bytea
);
comment on table indexer.chain is 'The one chain of this database, and who writes for it';
comment on column indexer.chain.epoch is 'Goes up with each new writer; a transaction of an older epoch is refused';
comment on column indexer.chain.event_view is 'Checksum of the SQL that made the view indexer.event';
insert into indexer.chain default values;

create table indexer.cursor (
    singleton boolean primary key default true check (singleton),
    number bigint,
    hash bytea check (octet_length(hash) = 32),
    finalized_number bigint,
    finalized_hash bytea check (octet_length(finalized_hash) = 32),
    window_first bigint,
    updated_at timestamptz not null default now(),
    check ((number is null) = (hash is null)),
    check ((finalized_number is null) = (finalized_hash is null))
) with (fillfactor = 10);
comment on table indexer.cursor is 'The newest followed block, and the newest one that the chain calls final';
comment on column indexer.cursor.window_first is 'From here to the cursor every block is in indexer.block, linked by parent hash';
insert into indexer.cursor default values;

create table indexer.source (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('event', 'transactions')),
    contract text not null,
    address bytea not null check (octet_length(address) = 20),
    event text,
    signature text,
    topic0 bytea check (octet_length(topic0) = 32),
    topic_count smallint,
    abi_digest bytea,
    abi jsonb,
    table_schema text,
    table_name text,
    start_block bigint not null check (start_block >= 0),
    active boolean not null default true,
    backfilled int8multirange not null default '{}',
    followed_from bigint,
    rows bigint not null default 0 check (rows >= 0),
    check ((kind = 'event') = (abi_digest is not null and abi is not null and event is not null)),
    check ((table_schema is null) = (table_name is null)),
    check ((kind = 'event') = (table_name is not null))
) with (fillfactor = 60);
-- A source of transactions has no ABI digest, and nulls are distinct in a unique constraint.
create unique index source_identity on indexer.source (kind, contract, address, coalesce(abi_digest, ''));
comment on table indexer.source is 'What is or was indexed: an event, or the transactions, of one contract address';
comment on column indexer.source.backfilled is 'Blocks covered for good; the tail followed_from..cursor comes on top, see indexer.coverage';
comment on column indexer.source.followed_from is 'First block of the tail that is still growing; null when it is not followed';
comment on column indexer.source.rows is 'Rows in the event table, or in indexer.transaction, that came from this source';

create table indexer.block (
    number bigint primary key,
    hash bytea not null check (octet_length(hash) = 32),
    parent_hash bytea check (octet_length(parent_hash) = 32),
    timestamp timestamptz not null,
    base_fee_wei numeric(78, 0),
    gas_used bigint,
    gas_limit numeric(78, 0),
    has_rows boolean not null
);
create index block_without_rows on indexer.block (number) where not has_rows;
comment on table indexer.block is 'The blocks above finality, and each block below it that has rows anywhere';
comment on column indexer.block.parent_hash is 'Null, as is the gas, for a block that was read as part of a range';
comment on column indexer.block.has_rows is 'Whether an event, an undecoded log or a transaction belongs to it';

create table indexer.transaction (
    block_number bigint not null,
    transaction_index integer not null,
    hash bytea not null check (octet_length(hash) = 32),
    block_time timestamptz not null,
    contract text,
    sender bytea not null check (octet_length(sender) = 20),
    recipient bytea check (octet_length(recipient) = 20),
    created bytea check (octet_length(created) = 20),
    selector bytea check (octet_length(selector) = 4),
    status boolean not null,
    failure text,
    gas_used bigint not null,
    gas_limit numeric(78, 0) not null,
    effective_gas_price numeric(78, 0) not null,
    value numeric(78, 0) not null,
    source_ids bigint[] not null,
    primary key (block_number, transaction_index)
);
comment on table indexer.transaction is 'Transactions to a watched contract, creating one, or emitting from one; failed ones included';
comment on column indexer.transaction.contract is 'The watched contract it was sent to; null when it was sent elsewhere or created a contract';
comment on column indexer.transaction.status is 'False: reverted';
comment on column indexer.transaction.failure is 'out_of_gas or reverted; null when it succeeded';
comment on column indexer.transaction.effective_gas_price is 'Wei per unit of gas';
comment on column indexer.transaction.value is 'Wei';
comment on column indexer.transaction.source_ids is 'The sources it belongs to: it was sent to their address, created it, or it emitted';

create table indexer.undecoded_log (
    block_number bigint not null,
    log_index integer not null,
    source_id bigint not null references indexer.source (id),
    block_hash bytea not null check (octet_length(block_hash) = 32),
    block_time timestamptz not null,
    transaction_hash bytea not null check (octet_length(transaction_hash) = 32),
    transaction_index integer not null,
    address bytea not null check (octet_length(address) = 20),
    topics bytea[] not null,
    data bytea not null,
    reason text not null,
    primary key (block_number, log_index, source_id)
);
comment on table indexer.undecoded_log is 'Logs that did not fit their event, or only with loss (reason lossy_text: its row is there too)';

create table indexer.reorg (
    id bigint generated always as identity primary key,
    happened_at timestamptz not null default now(),
    fork_number bigint not null,
    fork_hash bytea not null,
    depth integer not null,
    old_head_number bigint not null,
    old_head_hash bytea not null,
    new_head_number bigint not null,
    new_head_hash bytea not null,
    rows_removed bigint not null,
    rows_added bigint not null,
    transactions_removed bigint not null,
    transactions_added bigint not null,
    undecoded_removed bigint not null
);
comment on table indexer.reorg is 'Journal of the chain changing its mind: what was removed and what took its place';
comment on column indexer.reorg.happened_at is 'When we replaced the blocks';
comment on column indexer.reorg.depth is 'How many of our blocks were replaced: old head - fork';

create table indexer.orphaned_event (
    reorg_id bigint not null references indexer.reorg (id),
    contract text not null,
    event text not null,
    signature text not null,
    block_number bigint not null,
    block_hash bytea not null,
    log_index integer not null,
    transaction_hash bytea not null,
    address bytea not null,
    args jsonb not null
);
create index orphaned_event_by_reorg on indexer.orphaned_event (reorg_id);
comment on table indexer.orphaned_event is 'Events that a reorg removed, as they were';

create view indexer.coverage as
select
    source.id as source_id,
    source.kind,
    source.contract,
    source.address,
    source.event,
    source.signature,
    source.start_block,
    source.backfilled + case
        when source.followed_from <= cursor.number
        then int8multirange(int8range(source.followed_from, cursor.number, '[]'))
        else int8multirange()
    end as blocks,
    source.rows,
    source.active
from indexer.source cross join indexer.cursor;
comment on view indexer.coverage is 'The blocks whose rows are in the database, per source';

-- Read-only role. Where we may not create it, everything else works and `indexer check` says so.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'indexer_reader') then
        create role indexer_reader nologin;
    end if;
exception
    when insufficient_privilege or duplicate_object or unique_violation then
        raise notice 'the role indexer_reader was not created: %', sqlerrm;
end
$$;
