#!/bin/sh
# Writes the secrets and the configuration that this environment asks for, then becomes Alertmanager.
#
#   start.sh [OPTION OF ALERTMANAGER]...   render and start
#   start.sh render                        render only
#
# Read from the environment; each secret (*) also from a file that NAME_FILE names, or that is there already:
#
#   ALERT_WEBHOOK_TOKEN*        needed: the indexer takes alerts from nobody else (its [alerts] token)
#   SLACK_WEBHOOK_URL*          Slack; SLACK_CRITICAL_WEBHOOK_URL* and SLACK_WARNINGS_WEBHOOK_URL* go before it
#   SLACK_CRITICAL_CHANNEL      default #alerts-critical; webhooks of today's Slack post to their own channel only
#   SLACK_WARNINGS_CHANNEL      default #alerts-warnings
#   PAGERDUTY_ROUTING_KEY*      PagerDuty, Events API v2
#   PAGERDUTY_DBA_ROUTING_KEY*  the same of whoever looks after the database
#   ALERT_EMAIL, SMTP_HOST      e-mail: to whom, by which server; one needs the other
#   SMTP_PORT                   default 587
#   SMTP_USER, SMTP_PASSWORD*   log in there; one needs the other
#   SMTP_FROM                   default SMTP_USER if that is an address, else ALERT_EMAIL
#   SMTP_TLS                    false: send without encryption; default true
#   WATCHDOG_URL*               is told every minute that alerts still flow, and raises an alarm when they do not
#   ALERT_WEBHOOK_URL           default http://indexer:9464/api/v1/alerts/webhook
#   PAGERDUTY_URL               default https://events.pagerduty.com/v2/enqueue
#   ALERTMANAGER_DIRECTORY      default /etc/alertmanager: alertmanager.yml, templates/ and secrets/, which is written to
#   ALERTMANAGER_PROGRAM        default /bin/alertmanager
#
# What is not configured is left out, and said. No secret is shown, neither here nor in the list of processes.
set -eu
umask 077

directory=${ALERTMANAGER_DIRECTORY:-/etc/alertmanager}
secrets=$directory/secrets
rendered=$secrets/alertmanager.yml

say() { printf 'alertmanager: %s\n' "$*" >&2; }
refuse() { say "$*"; exit 2; }

# value NAME: what the environment has under this name.
value() { eval "printf '%s' \"\${$1:-}\""; }

# secret FILE NAME...: the first of these that is set, or that names a file with _FILE behind it, goes into the file.
# Says by its exit status whether there is such a secret now.
secret() {
    file=$secrets/$1
    shift
    for name in "$@"; do
        found=$(value "$name")
        named=$(value "${name}_FILE")
        if [ -n "$named" ]; then
            [ -z "$found" ] || refuse "$name and ${name}_FILE are both set: unset one of them"
            [ -r "$named" ] || refuse "the file of ${name}_FILE cannot be read"
            found=$(cat "$named")
            [ -n "$found" ] || refuse "the file of ${name}_FILE is empty"
        fi
        if [ -n "$found" ]; then
            case $found in
            *[[:cntrl:]]*) refuse "$name holds a line break or another control character" ;;
            esac
            printf '%s' "$found" >"$file.new"
            mv -f "$file.new" "$file"
            return 0
        fi
    done
    [ -s "$file" ]
}

# url FILE NAME: refuses a secret that is no URL.
url() {
    case $(cat "$secrets/$1") in
    https://?* | http://?*) ;;
    *) refuse "$2 must begin with https://" ;;
    esac
}

# plain NAME...: refuses a value that would end its line in the configuration.
plain() {
    for name in "$@"; do
        case $(value "$name") in
        *[[:cntrl:]]*) refuse "$name holds a line break or another control character" ;;
        esac
    done
}

on=' '
# channel NAME TITLE: this one is configured.
channel() {
    on="$on$1 "
    say "$2: on"
}

mkdir -p "$secrets" 2>/dev/null || :
[ -w "$secrets" ] || refuse "$secrets cannot be written to: mount a tmpfs there, for the user that runs Alertmanager"
[ -r "$directory/alertmanager.yml" ] || refuse "$directory/alertmanager.yml cannot be read: mount it there"
for template in "$directory"/templates/*.tmpl; do
    [ -r "$template" ] || refuse "$directory/templates has no readable template: mount monitoring/templates there"
done

secret webhook_token ALERT_WEBHOOK_TOKEN ||
    refuse "ALERT_WEBHOOK_TOKEN is needed, the same as the indexer has: openssl rand -hex 32 makes one"

if secret slack_critical_url SLACK_CRITICAL_WEBHOOK_URL SLACK_WEBHOOK_URL; then
    url slack_critical_url SLACK_WEBHOOK_URL
    secret slack_warnings_url SLACK_WARNINGS_WEBHOOK_URL SLACK_WEBHOOK_URL ||
        refuse "SLACK_WARNINGS_WEBHOOK_URL is needed too, or SLACK_WEBHOOK_URL for both"
    url slack_warnings_url SLACK_WARNINGS_WEBHOOK_URL
    channel slack Slack
elif secret slack_warnings_url SLACK_WARNINGS_WEBHOOK_URL; then
    refuse "SLACK_CRITICAL_WEBHOOK_URL is needed too, or SLACK_WEBHOOK_URL for both"
else
    say "Slack: off, because SLACK_WEBHOOK_URL is not set: warnings reach nobody but the history"
fi

if secret pagerduty_routing_key PAGERDUTY_ROUTING_KEY; then
    channel pagerduty PagerDuty
else
    say "PagerDuty: off, because PAGERDUTY_ROUTING_KEY is not set"
fi
if secret pagerduty_dba_routing_key PAGERDUTY_DBA_ROUTING_KEY; then
    channel pagerduty_dba "PagerDuty of the database's team"
else
    say "PagerDuty of the database's team: off, because PAGERDUTY_DBA_ROUTING_KEY is not set"
fi
case $on in *' pagerduty'*) on="${on}pagerduty_any " ;; esac

if [ -n "${SMTP_HOST:-}${ALERT_EMAIL:-}" ]; then
    [ -n "${SMTP_HOST:-}" ] || refuse "ALERT_EMAIL is set, but no server to send by: set SMTP_HOST"
    [ -n "${ALERT_EMAIL:-}" ] || refuse "SMTP_HOST is set, but nobody to write to: set ALERT_EMAIL"
    SMTP_SMARTHOST=$SMTP_HOST:${SMTP_PORT:-587}
    case ${SMTP_FROM:-} in
    '') case ${SMTP_USER:-} in *@*) SMTP_FROM=$SMTP_USER ;; *) SMTP_FROM=${ALERT_EMAIL%%,*} ;; esac ;;
    esac
    case ${SMTP_TLS:=true} in
    true | false) ;;
    *) refuse "SMTP_TLS must be true or false" ;;
    esac
    export SMTP_SMARTHOST SMTP_FROM SMTP_TLS
    channel email E-mail
    if secret smtp_password SMTP_PASSWORD; then
        [ -n "${SMTP_USER:-}" ] || refuse "SMTP_PASSWORD is set, but not SMTP_USER"
        channel email_login 'Login at the mail server'
    elif [ -n "${SMTP_USER:-}" ]; then
        refuse "SMTP_USER is set, but not SMTP_PASSWORD"
    fi
else
    say "E-mail: off, because ALERT_EMAIL and SMTP_HOST are not set"
fi

if secret watchdog_url WATCHDOG_URL; then
    url watchdog_url WATCHDOG_URL
    WATCHDOG_URL=$(cat "$secrets/watchdog_url")
    export WATCHDOG_URL
    channel watchdog Watchdog
else
    say "Watchdog: off, because WATCHDOG_URL is not set: nobody notices when this machine is gone"
fi

case $on in
*' slack '* | *' pagerduty '* | *' email '*) ;;
*) say "no channel reaches a person: critical alerts are only written into the indexer's history" ;;
esac

plain SMTP_SMARTHOST SMTP_FROM SMTP_USER ALERT_EMAIL SLACK_CRITICAL_CHANNEL SLACK_WARNINGS_CHANNEL \
    ALERT_WEBHOOK_URL PAGERDUTY_URL
on=$on directory=$directory awk '
    /^#/ { next }
    $1 == "#" && $2 == "if" { if (!index(ENVIRON["on"], " " $3 " ")) skipped = $3; next }
    $1 == "#" && $2 == "end" { if (skipped == $3) skipped = ""; next }
    skipped != "" { next }
    {
        line = $0
        if (match(line, /  # from [A-Z_]+$/)) {
            name = substr(line, RSTART + 9)
            line = substr(line, 1, RSTART - 1)
            if (ENVIRON[name] != "") {
                at = index(line, ": ") + 1
                was = substr(line, at + 1)
                line = substr(line, 1, at) (was ~ /^"/ ? quoted(ENVIRON[name]) : ENVIRON[name])
            }
        } else if (at = index(line, "/etc/alertmanager/")) {
            line = substr(line, 1, at - 1) ENVIRON["directory"] substr(line, at + 17)
        }
        print line
    }
    function quoted(text,    made, i, letter) {
        made = "\""
        for (i = 1; i <= length(text); i++) {
            letter = substr(text, i, 1)
            made = made (letter == "\"" || letter == "\\" ? "\\" letter : letter)
        }
        return made "\""
    }
' "$directory/alertmanager.yml" >"$rendered.new"
mv -f "$rendered.new" "$rendered"

[ "${1:-}" != render ] || exit 0

# Alertmanager reads its secrets from the files; its environment is nobody else's business.
unset ALERT_WEBHOOK_TOKEN SLACK_WEBHOOK_URL SLACK_CRITICAL_WEBHOOK_URL SLACK_WARNINGS_WEBHOOK_URL \
    PAGERDUTY_ROUTING_KEY PAGERDUTY_DBA_ROUTING_KEY SMTP_PASSWORD WATCHDOG_URL
exec "${ALERTMANAGER_PROGRAM:-/bin/alertmanager}" --config.file="$rendered" "$@"
