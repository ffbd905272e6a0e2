-- The role of the Postgres exporter: it reads statistics and settings, and no row of any table.
-- Run by the service postgres-role of monitoring/compose.yml at every start; a second time changes nothing but the
-- password. For a database elsewhere, as one of its superusers and with POSTGRES_MONITOR_PASSWORD exported:
--   psql --dbname=URL --file=monitoring/postgres/role.sql
\set ON_ERROR_STOP on
\getenv password POSTGRES_MONITOR_PASSWORD

-- The statement with the password stays out of the server's log.
set log_statement = 'none';
set log_min_duration_statement = -1;
set log_min_error_statement = 'panic';
-- That a right was granted before is no news.
set client_min_messages = 'warning';

select 'create role indexer_monitor'
where not exists (select from pg_roles where rolname = 'indexer_monitor') \gexec

alter role indexer_monitor with
    login nosuperuser nocreatedb nocreaterole noreplication inherit connection limit 4 password :'password';
alter role indexer_monitor set statement_timeout = '10s';
alter role indexer_monitor set default_transaction_read_only = on;
grant pg_monitor to indexer_monitor;
select format('grant connect on database %I to indexer_monitor', current_database()) \gexec
