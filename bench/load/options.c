#include "bench/load/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const mode_name[MODE_COUNT] = {
    [MODE_CALL] = "call", [MODE_STREAM] = "stream", [MODE_HOLD] = "hold", [MODE_TLS] = "tls"};

struct options opt = {
    .path = "/v1/chat/completions",
    .model = "sim-chat",
    .connections = 64,
    .body_bytes = 1024,
    .seconds = 5,
};

_Noreturn void
fail(const char *what)
{
    fprintf(stderr, "bench-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static const char usage_text[] =
    "usage: bench-load call|stream|hold|tls --to ADDR:PORT [options]\n"
    "  -c, --connections N   connections, or streams (64)\n"
    "  -n, --calls N         stop after N calls; else\n"
    "  -t, --seconds S       after S seconds (5); streams end by themselves\n"
    "      --warmup S        leave the first S seconds out of the latencies\n"
    "      --rate R          calls, TLS connections or streams a second; else as fast as answers\n"
    "                        come. Streams with a rate follow one another on the connections\n"
    "      --ready           calls without a rate: say \"ready\" once each connection has had an\n"
    "                        answer, and count from there\n"
    "      --tls             calls and streams over TLS\n"
    "      --path P  --model M  --key K  --header 'NAME: VALUE'  --get\n"
    "      --keys N              each call shows one of N keys at random: 1 to N in the last ten digits of K\n"
    "      --body-bytes N    pad the request's body to N bytes (1024)\n"
    "      --body TEXT       this body\n"
    "      --sim JSON        member \"sim\" of the body: {\"words\":500,\"gap\":10,\"stamp\":1}\n"
    "      --json            the result as one JSON object\n";

static bool
to_parse(char *text)
{
    char *colon = strrchr(text, ':');

    if (colon == NULL)
        return false;
    *colon = '\0';
    opt.host = text;
    opt.to.sin_family = AF_INET;
    opt.to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    /* Load is for one's own machine. */
    return inet_pton(AF_INET, text, &opt.to.sin_addr) == 1 &&
           ntohl(opt.to.sin_addr.s_addr) >> 24 == 127;
}

static bool
mode_parse(const char *name)
{
    for (size_t i = 0; i < MODE_COUNT; i++)
        if (strcmp(name, mode_name[i]) == 0) {
            opt.mode = (enum mode)i;
            return true;
        }
    return false;
}

static bool
words_read(int argc, char **argv)
{
    static const struct option longs[] = {
        {"to", required_argument, NULL, 'T'},     {"connections", required_argument, NULL, 'c'},
        {"calls", required_argument, NULL, 'n'},  {"seconds", required_argument, NULL, 't'},
        {"warmup", required_argument, NULL, 'w'}, {"rate", required_argument, NULL, 'r'},
        {"path", required_argument, NULL, 'p'},   {"model", required_argument, NULL, 'm'},
        {"key", required_argument, NULL, 'k'},    {"header", required_argument, NULL, 'H'},
        {"get", no_argument, NULL, 'g'},          {"body-bytes", required_argument, NULL, 'b'},
        {"body", required_argument, NULL, 'B'},   {"sim", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},         {"tls", no_argument, NULL, 'S'},
        {"ready", no_argument, NULL, 'R'},        {"keys", required_argument, NULL, 'K'},
        {0},
    };
    int o;

    if (argc < 2 || !mode_parse(argv[1]))
        return false;
    while ((o = getopt_long(argc - 1, argv + 1, "c:n:t:", longs, NULL)) != -1) {
        switch (o) {
        case 'T':
            if (!to_parse(optarg))
                return false;
            break;
        case 'c': opt.connections = strtoull(optarg, NULL, 10); break;
        case 'n': opt.calls = strtoull(optarg, NULL, 10); break;
        case 't': opt.seconds = strtod(optarg, NULL); break;
        case 'w': opt.warmup = strtod(optarg, NULL); break;
        case 'r': opt.rate = strtod(optarg, NULL); break;
        case 'p': opt.path = optarg; break;
        case 'm': opt.model = optarg; break;
        case 'k': opt.key = optarg; break;
        case 'K': opt.keys = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'H':
            if (opt.header_count == sizeof(opt.headers) / sizeof(opt.headers[0]))
                return false;
            opt.headers[opt.header_count++] = optarg;
            break;
        case 'g': opt.get = true; break;
        case 'b': opt.body_bytes = strtoull(optarg, NULL, 10); break;
        case 'B': opt.body = optarg; break;
        case 's': opt.sim = optarg; break;
        case 'j': opt.json = true; break;
        case 'R': opt.ready = true; break;
        case 'S': opt.tls = true; break;
        default: return false;
        }
    }
    if (opt.keys > 0 && (opt.key == NULL || strlen(opt.key) < KEY_DIGITS))
        return false;
    return optind == argc - 1 && opt.host != NULL && opt.connections > 0 &&
           !(opt.ready && (opt.rate > 0 || opt.mode != MODE_CALL));
}

bool
options_read(int argc, char **argv)
{
    bool good = words_read(argc, argv);

    if (!good)
        fputs(usage_text, stderr);
    return good;
}
