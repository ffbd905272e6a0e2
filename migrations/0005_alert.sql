-- What Alertmanager told us: the history of alerts.

create table indexer.alert (
    id bigint generated always as identity primary key,
    received_at timestamptz not null default now(),
    fingerprint text not null,
    status text not null check (status in ('firing', 'resolved')),
    name text not null,
    severity text,
    service text,
    labels jsonb not null,
    annotations jsonb not null,
    starts_at timestamptz not null,
    ends_at timestamptz check ((ends_at is null) or status = 'resolved'),
    generator_url text not null,
    receiver text not null
);
comment on table indexer.alert is 'Journal of alerts received from Alertmanager: a row when one begins to fire, another when it is over';
comment on column indexer.alert.fingerprint is 'Of the labels, as Alertmanager computes it';
comment on column indexer.alert.name is 'The label alertname';
comment on column indexer.alert.ends_at is 'Null while it fires';
comment on column indexer.alert.receiver is 'The receiver of Alertmanager''s configuration that led here';

-- Alertmanager repeats what goes on, and sends again what it got no answer for.
create unique index alert_once on indexer.alert
    (fingerprint, starts_at, status, coalesce(ends_at, 'infinity'::timestamptz));
create index alert_received on indexer.alert (received_at);

-- Where the reading role exists it may see this journal too.
do $$
begin
    if exists (select from pg_catalog.pg_roles where rolname = 'indexer_reader') then
        grant select on indexer.alert to indexer_reader;
    end if;
end
$$;
