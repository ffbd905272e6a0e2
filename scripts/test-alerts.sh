#!/usr/bin/env bash
# Makes alerts fire on a running stack, sees that they do, mends what it broke, and sees that they end.
#
#   scripts/test-alerts.sh --channel-test       a test alert of each severity, and which channels take it
#   scripts/test-alerts.sh --service-down       stops the indexer: IndexerDown
#   scripts/test-alerts.sh --database-down      stops PostgreSQL: DatabaseConnectionFailure and DatabaseDown
#   scripts/test-alerts.sh --error-rate URL     asks a page of the platform's API that answers with 5xx, again and
#                                               again: HighErrorRate
#
# Several may be named; they follow each other. With them:
#
#   --dry-run   only say what would be done
#   --yes       do not ask before something is stopped
#
# The first one disturbs nobody but those who are told. The others call people as a real incident would, and while they
# run nothing is indexed (it is made up for afterwards): tell those on call, and choose an hour. Whatever was stopped is
# started again when the script ends, however that happens.
#
# COMPOSE is the command for the stack; the default reads both compose files. Exit code 0: all was as it should be; 1: an
# alert or a channel did not do what it should; 2: it was not understood, or not allowed.
set -euo pipefail
cd "$(dirname "$0")/.."

read -r -a compose <<<"${COMPOSE:-docker compose -f docker-compose.yml -f docker-compose.monitoring.yml}"
#: Seconds between two looks, and how long an alert may take: the longest `for` of these alerts is 5 minutes, and the
#: rate before it looks back another five.
look_seconds=${LOOK_SECONDS:-5}
fire_seconds=${FIRE_SECONDS:-900}
end_seconds=${END_SECONDS:-1200}
requests_a_look=25

dry_run=""
yes=""
url=""
tests=()
stopped=()

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
fail() { say "$@"; exit 1; }
refuse() { printf 'test-alerts: %s\n' "$*" >&2; exit 2; }
usage() { sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"; }

# act COMMAND...: do it, or say what would be done.
act() {
    if [ -n "$dry_run" ]; then printf 'would run: %s\n' "$*"; else "$@"; fi
}

agree() {
    if [ -n "$dry_run$yes" ]; then return; fi
    local answer=""
    read -r -p "$1 Go on? [y/N] " answer || true
    [ "$answer" = y ] || refuse "nothing was done"
}

# state NAME: fires, is_over (or never began), or unknown where Alertmanager does not answer.
state() {
    local answer
    answer=$("${compose[@]}" exec -T alertmanager amtool --alertmanager.url=http://127.0.0.1:9093 \
        alert query -o simple "alertname=$1" 2>/dev/null) || { echo unknown; return; }
    if grep -q "^$1 " <<<"$answer"; then echo fires; else echo is_over; fi
}

# until_it fires|is_over NAME SECONDS [COMMAND...]: look again and again, with the command before each look.
until_it() {
    local wanted=$1 name=$2 limit=$3 began=$SECONDS now
    shift 3
    if [ -n "$dry_run" ]; then printf 'would wait until %s %s, at most %s s\n' "$name" "$wanted" "$limit"; return; fi
    while true; do
        if [ $# -gt 0 ]; then "$@"; fi
        now=$(state "$name")
        if [ "$now" = "$wanted" ]; then break; fi
        if [ $((SECONDS - began)) -ge "$limit" ]; then fail "FAILED: $name should be: $wanted, and is after $limit s: $now"; fi
        sleep "$look_seconds"
    done
    say "$name $wanted, after $((SECONDS - began)) s"
}

# An alert that fires already proves nothing, and nothing is stopped where nobody would see what comes of it.
must_be_quiet() {
    local name
    if [ -n "$dry_run" ]; then return; fi
    for name in "$@"; do
        case $(state "$name") in
            fires) fail "FAILED: $name fires already: mend that first" ;;
            unknown) fail "FAILED: Alertmanager does not answer" ;;
        esac
    done
}

mend() {
    local service
    for service in ${stopped[@]+"${stopped[@]}"}; do
        say "starting $service again"
        act "${compose[@]}" start "$service" || say "$service could not be started: start it by hand"
    done
    stopped=()
}
trap mend EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

channel_test() {
    local severity failed=""
    for severity in critical warning info; do
        say "a test alert of severity $severity"
        act "${compose[@]}" exec -T indexer indexer alerts test --severity "$severity" || failed="$failed $severity"
    done
    if [ -n "$failed" ]; then fail "FAILED: a channel did not take the test of severity$failed"; fi
}

# outage SERVICE ALERT...: the service stops; all of the alerts must fire, and end when it is back.
outage() {
    local service=$1 name
    shift
    agree "This stops $service, until $* fires; people are called."
    must_be_quiet "$@"
    say "stopping $service"
    stopped=("$service")
    act "${compose[@]}" stop "$service"
    for name in "$@"; do until_it fires "$name" "$fire_seconds"; done
    mend
    for name in "$@"; do until_it is_over "$name" "$end_seconds"; done
}

# The page's status, 000 if there was no answer. The URL may hold a secret: it is not printed.
status() { curl -s -o /dev/null -w '%{http_code}' --max-time 10 -- "$url" || true; }

ask_often() {
    local each
    for ((each = 0; each < requests_a_look; each++)); do status >/dev/null; done
}

error_rate() {
    agree "This asks the page $requests_a_look times every $look_seconds s until HighErrorRate fires; people are told."
    must_be_quiet HighErrorRate
    if [ -z "$dry_run" ]; then
        local answered
        answered=$(status)
        case $answered in
            5??) ;;
            *) fail "FAILED: the page answers $answered, which is no error of the API: it takes one that answers 5xx" ;;
        esac
    fi
    say "asking for errors"
    until_it fires HighErrorRate "$fire_seconds" ask_often
    until_it is_over HighErrorRate "$end_seconds"
}

while [ $# -gt 0 ]; do
    case $1 in
        --channel-test | --service-down | --database-down) tests+=("$1") ;;
        --error-rate)
            tests+=("$1")
            url=${2:-}
            [[ $url == http*://* ]] || refuse "--error-rate needs the URL of a page that answers with 5xx"
            shift
            ;;
        --dry-run) dry_run=yes ;;
        --yes) yes=yes ;;
        -h | --help) usage; exit 0 ;;
        *) refuse "unknown: $1; --help shows what there is" ;;
    esac
    shift
done
if [ ${#tests[@]} -eq 0 ]; then refuse "name a test; --help shows which there are"; fi

for test in "${tests[@]}"; do
    case $test in
        --channel-test) channel_test ;;
        --service-down) outage indexer IndexerDown ;;
        --database-down) outage postgres DatabaseConnectionFailure DatabaseDown ;;
        --error-rate) error_rate ;;
    esac
done
say "done"
