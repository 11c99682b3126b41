#include "cli/bench.h"
#include "cli/table.h"

static const struct cli_option bench_options[] = {
    {"--api", "openai|responses|anthropic|gemini", "api", CLI_TEXT, "what it speaks; openai unless told"},
    {"--model", "MODEL", "model", CLI_TEXT, "what to ask for"},
    {"--key-env", "NAME", "key_env", CLI_TEXT, "the variable that holds the key"},
    {"--key-file", "FILE", "key_file", CLI_TEXT, "the file that holds it, readable for its owner alone"},
    {"--stream", NULL, "stream", CLI_FLAG, "ask for streams"},
    {"--connections", "N", "connections", CLI_COUNT,
     "with a call each, one after the other; 8 unless told. With --rate at most so many; 1000"},
    {"--rate", "N", "rate", CLI_TEXT, "calls that are due a second, whatever becomes of them"},
    {"--seconds", "N", "seconds", CLI_COUNT, "no call begins after these; 10 unless told"},
    {"--requests", "N", "requests", CLI_COUNT, "so many calls; 100 unless this or --seconds is told"},
    {"--timeout", "SECONDS", "timeout", CLI_COUNT, "of a call; 120 unless told"},
    {"--prompt", "TEXT", "prompt", CLI_TEXT, "what is said"},
    {"--max-tokens", "N", "max_tokens", CLI_COUNT, "of an answer; 64 unless told"},
    {"--body", "FILE", "body", CLI_TEXT, "send this instead"},
    {"--ca-file", "FILE", "ca_file", CLI_TEXT, "authorities to trust instead of the system's, PEM"},
    CLI_NO_OPTION,
};

/* Read by mock/mock.c. */
static const struct cli_option mock_options[] = {
    {"--listen", "ADDR:PORT", "listen", CLI_TEXT, "127.0.0.1:8081 unless told; port 0: a free one"},
    {"--api", "openai|anthropic|gemini", "api", CLI_TEXT, "speak this one, and know no other's paths"},
    {"--fault", "NAME[=VALUE][+…]", "fault", CLI_LIST,
     "of every call, as status=503+retry-after=2; may be repeated"},
    {"--delay", "TIME", "delay", CLI_TEXT, "before each answer begins, as 200ms"},
    {"--gap", "TIME", "gap", CLI_TEXT, "between the chunks of a stream"},
    {"--key", "SECRET", "key", CLI_LIST, "one that callers must have; any will do unless told"},
    {"--tls-cert", "FILE", "tls_cert", CLI_TEXT, "speak TLS with this chain, PEM"},
    {"--tls-key", "FILE", "tls_key", CLI_TEXT, "and its private key, PEM"},
    {"--workers", "N", "workers", CLI_COUNT, "processes on the same port, with records of their own"},
    {"--port-file", "FILE", "port_file", CLI_TEXT, "the port is written there"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "bench", .run = bench_run_local, .arguments = {{"URL", "url"}}, .options = bench_options,
     .summary = "call an endpoint again and again, and say how long what takes"},
    {.noun = "mock", .no_json = true, .options = mock_options,
     .summary = "a simulated provider in the foreground, with faults to order"},
    {.noun = NULL},
};

const struct cli_group cli_group_bench = {"turnpike-bench(1)", commands};
