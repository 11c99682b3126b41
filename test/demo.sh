#!/bin/sh
# A first look: the simulated upstream and turnpike with the sample routes.conf, one streamed call, its
# receipt, the balance, the audit. Then it all keeps running until Ctrl-C.
#
#   DEMO_ONESHOT=1   ends by itself; exit status 0 only if everything worked
#   DEMO_STATE=DIR   keeps tenants, keys and calls there (default: a directory that goes at the end)
#   DEMO_LISTEN=ADDR:PORT   where turnpike listens (default: 127.0.0.1:8080, or any free port)
#   TURNPIKE_BUILD=DIR      where the programs are (default: build)
#
# Needs no provider and no network. Where keys of real providers are in the environment, their
# models can be called as well; what to ask for is printed.
set -eu
cd "$(dirname "$0")/.."

turnpike=${TURNPIKE_BUILD:-build}/bin/turnpike
sim_upstream=${TURNPIKE_BUILD:-build}/bin/sim-upstream
sample_sim=127.0.0.1:8081 # as routes.conf has it
dir= sim_pid= turnpike_pid= done=no

if [ -t 1 ]; then
    bold=$(printf '\033[1m') plain=$(printf '\033[0m')
else
    bold='' plain=''
fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

fail() {
    echo "demo: $*" >&2
    if [ -n "$dir" ] && [ -s "$dir/turnpike.log" ]; then
        echo "demo: the server's last words:" >&2
        tail -n 20 "$dir/turnpike.log" >&2
    fi
    exit 1
}

# Ends what we started, by process ID, and waits for it.
end() {
    [ -z "$1" ] || kill "$1" 2>/dev/null || true
    [ -z "$1" ] || wait "$1" 2>/dev/null || true
}

clean_up() {
    status=$?
    trap '' HUP INT TERM
    trap - EXIT
    [ -z "$turnpike_pid" ] || [ "$done" = yes ] || echo "demo: stopping"
    end "$turnpike_pid"
    end "$sim_pid"
    [ -z "$dir" ] || rm -rf "$dir"
    exit "$status"
}

# Does anybody listen there?
taken() {
    rc=0
    curl -s -o /dev/null --noproxy '*' --max-time 2 "http://$1/" || rc=$?
    [ "$rc" -ne 7 ]
}

# Waits up to 20 s for a command to succeed while a process lives.
wait_for() {
    what=$1 pid=$2 tries=0
    shift 2
    until "$@"; do
        tries=$((tries + 1))
        kill -0 "$pid" 2>/dev/null || fail "$what ended"
        [ "$tries" -lt 200 ] || fail "$what does not answer"
        sleep 0.1
    done
}

# Compact JSON, indented; JSON has no other quotes, braces and brackets outside of strings.
pretty() {
    awk '
    function pad(  i) { printf "\n"; for (i = 0; i < depth; i++) printf "  " }
    {
        for (i = 1; i <= length($0); i++) {
            c = substr($0, i, 1)
            if (in_string) {
                printf "%s", c
                if (escaped) escaped = 0
                else if (c == "\\") escaped = 1
                else if (c == "\"") in_string = 0
                continue
            }
            next_c = substr($0, i + 1, 1)
            if (c == "\"") { in_string = 1; printf "%s", c }
            else if ((c == "{" && next_c == "}") || (c == "[" && next_c == "]")) {
                printf "%s%s", c, next_c; i++
            }
            else if (c == "{" || c == "[") { printf "%s", c; depth++; pad() }
            else if (c == "}" || c == "]") { depth--; pad(); printf "%s", c }
            else if (c == ",") { printf "%s", c; pad() }
            else if (c == ":") printf ": "
            else if (c != " ") printf "%s", c
        }
        printf "\n"
    }'
}

get() { # PATH FILE: status 200 and the answer in FILE
    code=$(curl -s -o "$2" -w '%{http_code}' --noproxy '*' --max-time 10 \
        -H "Authorization: Bearer $key" "$url$1") || return 1
    [ "$code" = 200 ]
}

ready() { curl -s -f -o /dev/null --noproxy '*' --max-time 2 "$url/readyz"; }

ask() { "$turnpike" "$@" -s "$state"; }

for program in "$turnpike" "$sim_upstream"; do
    [ -x "$program" ] || fail "$program is not there; run make demo"
done
command -v curl >/dev/null 2>&1 || fail "curl is missing: apt-get install curl"

trap clean_up EXIT
trap 'exit 0' INT
trap 'exit 129' HUP
trap 'exit 143' TERM
dir=$(mktemp -d "${TMPDIR:-/tmp}/turnpike-demo.XXXXXX")
state=${DEMO_STATE:-$dir/state}

# ---- the simulated upstream: where routes.conf expects it, or routes.conf is told where it is ------

sim_listen=$sample_sim
if taken "$sim_listen"; then sim_listen=127.0.0.1:0; fi
# In sessions of their own: Ctrl-C is for this script, which ends them one after the other.
setsid "$sim_upstream" -l "$sim_listen" --port-file "$dir/sim.port" >"$dir/sim.log" 2>&1 &
sim_pid=$!
wait_for "the simulated upstream" "$sim_pid" test -s "$dir/sim.port"
sim=127.0.0.1:$(cat "$dir/sim.port")
conf=routes.conf
if [ "$sim" != "$sample_sim" ]; then
    conf=$dir/routes.conf
    sed "s|http://$sample_sim|http://$sim|" routes.conf >"$conf"
    cp models.conf "$dir/" # which routes.conf includes
fi
# A word every 40 ms, so that a stream can be seen to be one.
curl -s -f -o /dev/null --noproxy '*' --max-time 5 -d '{"sim":{"gap":40}}' "http://$sim/sim/faults" ||
    fail "the simulated upstream does not answer"

# ---- turnpike --------------------------------------------------------------------------------------

listen=${DEMO_LISTEN:-127.0.0.1:8080}
if [ -z "${DEMO_LISTEN:-}" ] && taken "$listen"; then listen=127.0.0.1:0; fi
setsid "$turnpike" serve -c "$conf" -s "$state" -l "$listen" >"$dir/turnpike.log" 2>&1 &
turnpike_pid=$!
wait_for turnpike "$turnpike_pid" grep -q 'serve\.ready' "$dir/turnpike.log"
url=$(ask status --json | sed -n 's|.*"listeners":\["\(http://[^"]*\)".*|\1|p')
[ -n "$url" ] || fail "turnpike does not say where it listens"
wait_for turnpike "$turnpike_pid" ready

# ---- a tenant with credit, and a key ---------------------------------------------------------------

if ! ask tenant show demo >/dev/null 2>&1; then
    say "\$ turnpike tenant add demo --credit 10"
    ask tenant add demo --credit 10 || fail "no tenant"
fi
say "\$ turnpike key add demo --name laptop"
key=$(ask key add demo --name laptop 2>"$dir/key.txt") || fail "no key: $(cat "$dir/key.txt")"
echo "$key"

# ---- a streamed call -------------------------------------------------------------------------------

body='{"model":"sim-small","stream":true,"messages":[{"role":"user","content":"Say hello."}]}'
say "\$ curl -N $url/v1/chat/completions -H 'Authorization: Bearer sk-…' -d '$body'"
curl -sS -N --noproxy '*' --max-time 60 -D "$dir/head" -H "Authorization: Bearer $key" \
    -H 'content-type: application/json' -d "$body" "$url/v1/chat/completions" | tee "$dir/stream"
head -n 1 "$dir/head" | grep -q ' 200 ' || fail "the call got $(head -n 1 "$dir/head")"
grep -q '^data: \[DONE\]' "$dir/stream" || fail "the stream has no end"
call=$(tr -d '\r' <"$dir/head" | sed -n 's/^x-request-id: //p')
[ -n "$call" ] || fail "the answer has no x-request-id"

# It is in the store at most 50 ms later.
say "\$ curl $url/v1/receipts/$call"
wait_for "the receipt" "$turnpike_pid" get "/v1/receipts/$call" "$dir/receipt"
pretty <"$dir/receipt"
grep -q '"outcome":"ok"' "$dir/receipt" || fail "the call did not end well"

say "\$ turnpike call $call"
ask call "$call" || fail "the call is not in the store"

say "\$ curl $url/v1/balance"
get /v1/balance "$dir/balance" || fail "no balance"
pretty <"$dir/balance"

say "\$ turnpike audit"
ask audit || fail "the books do not balance"

# ---- and now you -----------------------------------------------------------------------------------

say "turnpike serves at $url"
echo "  OpenAI SDK      base_url  $url/v1"
echo "  Anthropic SDK   base_url  $url"
echo "  key             $key"
echo "  models          sim-small, sim-large, sim-embedding (simulated)"
real() { # VARIABLE PROVIDER MODEL BASE
    eval "value=\${$1:-}"
    [ -z "$value" ] || echo "  $2: try the model $3 (base_url $url$4)"
}
real OPENAI_API_KEY "your OpenAI key" gpt-5-nano /v1
real ANTHROPIC_API_KEY "your Anthropic key" claude-haiku-4.5 ""
real GEMINI_API_KEY "your Gemini key" gemini-2.5-flash /v1
real DEEPSEEK_API_KEY "your DeepSeek key" deepseek-flash /v1
echo "  command line    $turnpike status -s $state"
echo "  log             $dir/turnpike.log"

if [ "${DEMO_ONESHOT:-0}" = 1 ]; then
    ask stop >/dev/null || fail "it does not stop"
    wait "$turnpike_pid" || fail "it ended with status $?"
    turnpike_pid='' done=yes
    say "demo: all of it worked"
    exit 0
fi
echo
echo "Ctrl-C ends it."
wait "$turnpike_pid" || true
turnpike_pid=''
fail "turnpike ended"
