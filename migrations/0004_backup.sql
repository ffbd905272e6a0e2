-- What backups came to, so that a running process can tell when the last good one was.

create table indexer.backup (
    id bigint generated always as identity primary key,
    started_at timestamptz not null,
    finished_at timestamptz not null default now(),
    outcome text not null check (outcome in ('ok', 'failed')),
    file_name text,
    size_bytes bigint check (size_bytes >= 0),
    checksum text,
    verified_at timestamptz,
    error text,
    check (finished_at >= started_at),
    check (outcome = 'failed' or (file_name is not null and size_bytes is not null and checksum is not null)),
    check ((outcome = 'failed') = (error is not null)),
    check (verified_at is null or outcome = 'ok')
);
create index backup_succeeded on indexer.backup (finished_at) where outcome = 'ok';
create index backup_verified on indexer.backup (verified_at) where verified_at is not null;
comment on table indexer.backup is 'Journal of backups that came to their end, one row each';
comment on column indexer.backup.outcome is 'ok, or failed with the reason in error';
comment on column indexer.backup.file_name is 'Without its directory; null where a failed backup left none';
comment on column indexer.backup.size_bytes is 'Of the file as it is stored';
comment on column indexer.backup.checksum is 'SHA-256 of the file as it is stored, in hexadecimal';
comment on column indexer.backup.verified_at is 'When the file was last restored on trial and found right';
comment on column indexer.backup.error is 'Why a backup failed; holds no secret';

-- Where the reading role exists it may see this journal too.
do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'indexer_reader') then
        grant select on indexer.backup to indexer_reader;
    end if;
end
$$;
