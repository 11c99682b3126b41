#include "master/options.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/nearest.h"
#include "base/str.h"
#include "base/term.h"
#include "base/version.h"
#include "master/passed.h"
#include "net/listen.h"

/* A worker that has nothing to do says once a second that it is there. */
#define HANG_S_MIN 3
#define HANG_S_DEFAULT 30

enum {
    OPT_TLS_LISTEN = 256,
    OPT_TLS_CERT,
    OPT_TLS_KEY,
    OPT_METRICS,
    OPT_DURABILITY,
    OPT_UNRESOLVED,
    OPT_HANG_TIMEOUT,
    OPT_USER,
    OPT_LOG_FORMAT,
    OPT_LOG_DEBUG,
    OPT_JSON,
    OPT_COLOR,
    OPT_VERSION,
};

void
options_complain(const char *what, const char *why, const char *hint)
{
    fprintf(stderr, "%s%sturnpike:%s %s%s%s%s%s\n", log_priority(LOG_LEVEL_ERROR),
            term_on(stderr, TERM_BAD), term_off(stderr, TERM_BAD), what, why ? ": " : "", why ? why : "",
            hint ? "; " : "", hint ? hint : "");
}

static int
refuse(const char *what, const char *why, const char *hint)
{
    options_complain(what, why, hint);
    return CLI_USAGE;
}

static void
options_default(struct options *o)
{
    const char *state = getenv("TURNPIKE_STATE");

    memset(o, 0, sizeof *o);
    o->state_dir = state && *state ? state : "/var/lib/turnpike";
    o->conf_path = access("routes.conf", F_OK) == 0 ? "routes.conf" : "/etc/turnpike/routes.conf";
    o->durability = DURABILITY_RELAXED;
    o->hang_s = HANG_S_DEFAULT;
    o->uid = geteuid();
    o->gid = getegid();
}

static int
add_listen(struct options *o, const char *address, enum worker_listener_kind kind)
{
    static const char *const flag[] = {[LISTENER_PLAIN] = "--listen",
                                       [LISTENER_TLS] = "--tls-listen",
                                       [LISTENER_METRICS] = "--metrics-listen"};
    struct net_addr addr;
    char why[200];

    if (o->listen_count == OPTIONS_LISTEN_MAX)
        return refuse(address, "too many listeners", "at most 16");
    if (!net_listen_parse(str_from(address), &addr, why, sizeof why))
        return refuse(flag[kind], why, "as 127.0.0.1:8080, [::1]:8080 or *:8080");
    o->listen[o->listen_count++] = (struct options_listen){address, kind, -1};
    return -1;
}

static int
add_path(const char **list, unsigned *count, const char *path)
{
    if (*count == OPTIONS_CERT_MAX)
        return refuse(path, "too many certificates", "at most 16");
    list[(*count)++] = path;
    return -1;
}

static int
set_workers(struct options *o, const char *text)
{
    uint64_t n;

    if (!str_to_count(str_from(text), OPTIONS_WORKERS_MAX, &n))
        return refuse("--workers", text, "a number from 0 to 32");
    o->worker_count = (unsigned)n;
    return -1;
}

/* Which of the names text is, or count. */
static unsigned
name_index(const char *const *names, unsigned count, const char *text)
{
    unsigned i = 0;

    while (i < count && strcmp(text, names[i]) != 0)
        i++;
    return i;
}

static int
set_durability(struct options *o, const char *text)
{
    unsigned i = name_index(ledger_durability_name, LEDGER_DURABILITY_COUNT, text);

    if (i == LEDGER_DURABILITY_COUNT)
        return refuse("--durability", text, "one of relaxed, strict, reserve");
    o->durability = (enum worker_durability)i;
    return -1;
}

static int
set_unresolved(struct options *o, const char *text)
{
    unsigned i = name_index(ledger_unresolved_name, LEDGER_UNRESOLVED_COUNT, text);

    if (i == LEDGER_UNRESOLVED_COUNT)
        return refuse("--unresolved", text, "one of void, input, full");
    o->unresolved = (enum ledger_unresolved)i;
    return -1;
}

static int
set_hang_timeout(struct options *o, const char *text)
{
    uint64_t n;

    if (!str_to_count(str_from(text), 3600, &n) || (n > 0 && n < HANG_S_MIN))
        return refuse("--hang-timeout", text, "seconds from 3 to 3600, or 0 for never");
    o->hang_s = (unsigned)n;
    return -1;
}

/* Before anything is bound or made: also who lacks the right to change is told now. */
static int
set_user(struct options *o, const char *name)
{
    const struct passwd *pw = getpwnam(name);
    char why[128];

    if (pw == NULL) {
        snprintf(why, sizeof why, "no such user: %s", name);
        return refuse("--user", why, "name a user of this machine");
    }
    if (geteuid() != 0 && geteuid() != pw->pw_uid) {
        options_complain("--user", strerror(EPERM), "only root can become another user");
        return CLI_NOT_ALLOWED;
    }
    o->user = geteuid() == pw->pw_uid ? NULL : name;
    o->uid = pw->pw_uid;
    o->gid = pw->pw_gid;
    return -1;
}

static int
set_log_format(struct options *o, const char *text)
{
    o->log_json = strcmp(text, "json") == 0;
    if (!o->log_json && strcmp(text, "text") != 0)
        return refuse("--log-format", text, "text or json");
    return -1;
}

static int
say_version(void)
{
    printf("turnpike %s\n", turnpike_version);
    return CLI_DONE;
}

/* What getopt did not like: ':' when a value is missing, else '?'. */
static int
bad_option(char **argv, int opt, const struct option *longs, const char *hint)
{
    char letter[3] = {'-', (char)optopt, '\0'}, meant[64];
    struct nearest near = {STR_NONE, 0};
    const char *word = argv[optind - 1];
    size_t len = strcspn(word, "=");
    unsigned begin = 0;

    /* Of a long option getopt tells its value's letter, or nothing. */
    if (optopt != 0 && strncmp(word, "--", 2) != 0)
        word = letter;
    if (opt == ':')
        return refuse(word, "a value must follow", hint);
    if (word == letter)
        return refuse(word, "there is no such option", hint);
    for (; longs->name != NULL; longs++) {
        begin += len > 2 && strncmp(longs->name, word + 2, len - 2) == 0;
        if (len > 2)
            nearest_try(&near, (struct str){word + 2, len - 2}, str_from(longs->name));
    }
    if (optopt != 0)
        return refuse(word, "it takes no value", hint);
    if (begin > 1)
        return refuse(word, "it may be one of several options", hint);
    if (near.best.ptr != NULL)
        snprintf(meant, sizeof(meant), "did you mean --%.*s?", STR_ARGS(near.best));
    return refuse(word, "there is no such option", near.best.ptr != NULL ? meant : hint);
}

static int
serve_option(struct options *o, int opt)
{
    switch (opt) {
    case 'c':
        o->conf_path = optarg;
        return -1;
    case 's':
        o->state_dir = optarg;
        return optarg[0] != '\0' ? -1 : refuse("--state", "a directory must follow", NULL);
    case 'l':
        return add_listen(o, optarg, LISTENER_PLAIN);
    case 'w':
        return set_workers(o, optarg);
    case OPT_TLS_LISTEN:
        return add_listen(o, optarg, LISTENER_TLS);
    case OPT_METRICS:
        return add_listen(o, optarg, LISTENER_METRICS);
    case OPT_TLS_CERT:
        return add_path(o->cert_path, &o->cert_count, optarg);
    case OPT_TLS_KEY:
        return add_path(o->cert_key_path, &o->cert_key_count, optarg);
    case OPT_DURABILITY:
        return set_durability(o, optarg);
    case OPT_UNRESOLVED:
        return set_unresolved(o, optarg);
    case OPT_HANG_TIMEOUT:
        return set_hang_timeout(o, optarg);
    case OPT_USER:
        return set_user(o, optarg);
    case OPT_LOG_FORMAT:
        return set_log_format(o, optarg);
    case OPT_LOG_DEBUG:
        o->log_debug = true;
        return -1;
    case 'h':
        cli_help("serve");
        return CLI_DONE;
    default: return say_version();
    }
}

static int
serve_check(struct options *o)
{
    bool tls = false, plain = false;

    for (unsigned i = 0; i < o->listen_count; i++) {
        tls |= o->listen[i].kind == LISTENER_TLS;
        plain |= o->listen[i].kind == LISTENER_PLAIN;
    }
    if (o->cert_count != o->cert_key_count)
        return refuse("--tls-cert", "not as many keys as certificates",
                      "give --tls-cert and --tls-key in pairs");
    if (tls && o->cert_count == 0)
        return refuse("--tls-listen", "no certificate", "give --tls-cert and --tls-key");
    if (o->cert_count > 0 && !tls)
        return refuse("--tls-cert", "nothing listens for TLS", "give --tls-listen ADDR:PORT");
    if (!tls && !plain) {
        int rc = add_listen(o, "127.0.0.1:8080", LISTENER_PLAIN);

        if (rc >= 0)
            return rc;
    }
    if (o->worker_count == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);

        o->worker_count = cores < 1 ? 1 : (unsigned)MIN(cores, OPTIONS_WORKERS_MAX);
    }
    return -1;
}

static void
take_handed(struct options *o, const struct options_handed *handed)
{
    memcpy(o->listen, handed->listen, handed->listen_count * sizeof *o->listen);
    o->listen_count = handed->listen_count;
    o->worker_count = handed->worker_count;
}

int
options_serve(int argc, char **argv, const struct options_handed *handed, struct options *out)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"state", required_argument, NULL, 's'},
        {"listen", required_argument, NULL, 'l'},
        {"workers", required_argument, NULL, 'w'},
        {"tls-listen", required_argument, NULL, OPT_TLS_LISTEN},
        {"tls-cert", required_argument, NULL, OPT_TLS_CERT},
        {"tls-key", required_argument, NULL, OPT_TLS_KEY},
        {"metrics-listen", required_argument, NULL, OPT_METRICS},
        {"durability", required_argument, NULL, OPT_DURABILITY},
        {"unresolved", required_argument, NULL, OPT_UNRESOLVED},
        {"hang-timeout", required_argument, NULL, OPT_HANG_TIMEOUT},
        {"user", required_argument, NULL, OPT_USER},
        {"log-format", required_argument, NULL, OPT_LOG_FORMAT},
        {"log-debug", no_argument, NULL, OPT_LOG_DEBUG},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, OPT_VERSION},
        {NULL, 0, NULL, 0},
    };
    int opt;

    options_default(out);
    term_init();
    optind = 1;
    opterr = 0;
    while ((opt = getopt_long(argc, argv, ":hc:s:l:w:", longs, NULL)) != -1) {
        int rc = opt == '?' || opt == ':'
                     ? bad_option(argv, opt, longs, "see turnpike serve --help")
                     : serve_option(out, opt);

        if (rc >= 0)
            return rc;
    }
    if (optind < argc)
        return refuse(argv[optind], "serve takes no such argument", "see turnpike serve --help");
    if (handed != NULL) {
        take_handed(out, handed);
    } else {
        int rc = passed_listeners(out);

        if (rc >= 0)
            return rc;
    }
    return serve_check(out);
}

int
options_check(int argc, char **argv, struct options *out)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"state", required_argument, NULL, 's'},
        {"json", no_argument, NULL, OPT_JSON},
        {"color", required_argument, NULL, OPT_COLOR},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, OPT_VERSION},
        {NULL, 0, NULL, 0},
    };
    int opt;

    options_default(out);
    term_init();
    optind = 1;
    opterr = 0;
    while ((opt = getopt_long(argc, argv, ":hc:s:", longs, NULL)) != -1) {
        if (opt == '?' || opt == ':')
            return bad_option(argv, opt, longs, "see turnpike check --help");
        if (opt == 'c') {
            out->conf_path = optarg;
        } else if (opt == OPT_JSON) {
            out->json = true;
        } else if (opt == OPT_COLOR && !term_color(optarg)) {
            return refuse("--color", optarg, "one of auto, always, never");
        } else if (opt == OPT_VERSION) {
            return say_version();
        } else if (opt == 'h') {
            cli_help("check");
            return CLI_DONE;
        }
    }
    if (optind < argc)
        return refuse(argv[optind], "check takes no such argument", "see turnpike check --help");
    return -1;
}
