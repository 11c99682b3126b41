/* Options, the listening sockets, and -w processes of one loop each. */
#include "mock/mock.h"

#include "base/clock.h"
#include "base/str.h"
#include "mock/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int
complain(int status, const char *what, const char *why, const char *hint)
{
    fprintf(stderr, "turnpike: %s: %s%s%s\n", what, why, hint != NULL ? "; " : "",
            hint != NULL ? hint : "");
    return status;
}

static _Noreturn void
fail(const char *what, const char *hint)
{
    exit(complain(1, what, strerror(errno), hint));
}

static bool
address_parse(const char *text, struct sockaddr_in *addr)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    uint64_t port;

    if (colon == NULL || (size_t)(colon - text) >= sizeof(host) ||
        !str_to_count(str_from(colon + 1), 65535, &port))
        return false;
    str_copy((struct str){text, (size_t)(colon - text)}, host, sizeof(host));
    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, host, &addr->sin_addr) == 1;
}

static int
listen_on(struct sockaddr_in *addr, const char *text, bool shared)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*addr);
    int on = 1;

    if (fd < 0)
        fail("socket", NULL);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (shared)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)addr, sizeof(*addr)) < 0)
        fail(text, errno == EACCES ? "ports below 1024 need root" : "another can be named with -l");
    if (listen(fd, 16384) < 0)
        fail(text, NULL);
    if (getsockname(fd, (struct sockaddr *)addr, &len) < 0)
        fail(text, NULL);
    return fd;
}

/* Written whole under another name first: who polls for the file finds all of it. */
static void
port_file_write(const char *path, unsigned port)
{
    char tmp[4096];
    FILE *f;

    snprintf(tmp, sizeof(tmp), "%s.tmp", path);
    f = fopen(tmp, "w");
    if (f == NULL || fprintf(f, "%u\n", port) < 0 || fclose(f) != 0 || rename(tmp, path) != 0)
        fail(path, NULL);
}

static void
descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

struct options {
    void (*help)(void);
    const char *listen;
    struct sockaddr_in addr;
    const char *port_file, *cert, *key_file;
    struct str keys[16];
    size_t key_count;
    uint64_t workers;
    struct faults faults;
};

/* The fault `name` of so many milliseconds. */
static int
take_time(struct options *o, const char *flag, const char *name, const char *text)
{
    char order[64], why[160];
    uint64_t us;

    if (!clock_parse_duration(str_from(text), &us) || us > UINT64_C(3600) * 1000000)
        return complain(2, flag, text, "a time, as 200ms or 2s");
    (void)snprintf(order, sizeof(order), "+%s=%u", name, (unsigned)(us / 1000));
    return faults_read_suffix(&o->faults, str_from(order), why, sizeof(why))
               ? -1
               : complain(2, flag, why, NULL);
}

static int
take_fault(struct options *o, const char *text)
{
    char order[512], why[160];

    if (snprintf(order, sizeof(order), "+%s", text) >= (int)sizeof(order))
        return complain(2, "--fault", "that is too long", NULL);
    return faults_read_suffix(&o->faults, str_from(order), why, sizeof(why))
               ? -1
               : complain(2, "--fault", why + strlen("sim: "), "turnpike-bench(1) lists them");
}

static int
take_api(const char *text)
{
    static const char *const names[] = {
        [PATHS_OPENAI] = "openai", [PATHS_ANTHROPIC] = "anthropic", [PATHS_GEMINI] = "gemini"};

    for (int i = PATHS_OPENAI; i < PATHS_COUNT; i++)
        if (strcmp(text, names[i]) == 0) {
            paths_only((enum paths)i);
            return -1;
        }
    return complain(2, "--api", text, "openai, anthropic or gemini");
}

/* What was typed for the option that getopt read last. */
static int
bad_option(int opt, char **argv)
{
    const char *word = argv[optind - 1];
    char letter[3] = {'-', (char)optopt, '\0'};

    if (optopt > 0 && optopt < 256 && word[0] == '-' && word[1] != '-')
        word = letter;
    return complain(2, word, opt == ':' ? "a value must follow" : "there is no such option",
                    "see turnpike mock --help");
}

enum { OPT_API = 256, OPT_FAULT, OPT_DELAY, OPT_GAP, OPT_PORT_FILE, OPT_CERT, OPT_TLS_KEY, OPT_KEY };

static int
take_option(struct options *o, int opt)
{
    switch (opt) {
    case 'l':
        o->listen = optarg;
        return address_parse(optarg, &o->addr)
                   ? -1
                   : complain(2, "--listen", optarg, "an IPv4 address and port, as 127.0.0.1:8081");
    case 'w':
        return str_to_count(str_from(optarg), 64, &o->workers) && o->workers > 0
                   ? -1
                   : complain(2, "--workers", optarg, "a number from 1 to 64");
    case OPT_API: return take_api(optarg);
    case OPT_FAULT: return take_fault(o, optarg);
    case OPT_DELAY: return take_time(o, "--delay", "delay", optarg);
    case OPT_GAP: return take_time(o, "--gap", "gap", optarg);
    case OPT_PORT_FILE: o->port_file = optarg; return -1;
    case OPT_CERT: o->cert = optarg; return -1;
    case OPT_TLS_KEY: o->key_file = optarg; return -1;
    case OPT_KEY:
        if (o->key_count == COUNT_OF(o->keys))
            return complain(2, "--key", "too many of them", "at most 16");
        o->keys[o->key_count++] = str_from(optarg);
        return -1;
    default: o->help(); return 0;
    }
}

/* -1 to go on, else the exit status. */
static int
options_read(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"listen", required_argument, NULL, 'l'},
        {"api", required_argument, NULL, OPT_API},
        {"fault", required_argument, NULL, OPT_FAULT},
        {"delay", required_argument, NULL, OPT_DELAY},
        {"gap", required_argument, NULL, OPT_GAP},
        {"port-file", required_argument, NULL, OPT_PORT_FILE},
        {"tls-cert", required_argument, NULL, OPT_CERT},
        {"tls-key", required_argument, NULL, OPT_TLS_KEY},
        {"key", required_argument, NULL, OPT_KEY},
        {"workers", required_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int opt, rc = -1;

    optind = 1;
    opterr = 0;
    while (rc < 0 && (opt = getopt_long(argc, argv, ":l:w:h", longs, NULL)) != -1)
        rc = opt == '?' || opt == ':' ? bad_option(opt, argv) : take_option(o, opt);
    if (rc < 0 && optind < argc)
        rc = complain(2, argv[optind], "mock takes no such argument", "see turnpike mock --help");
    if (rc < 0 && (o->cert == NULL) != (o->key_file == NULL))
        rc = complain(2, "--tls-cert", "it needs its key", "give --tls-cert and --tls-key together");
    return rc;
}

/* The other processes of -w, each on a socket of its own, bound before it is said that we listen. *fd is the one to
 * serve on. False in a child. */
static bool
fork_others(struct options *o, int *fd)
{
    for (uint64_t i = 1; i < o->workers; i++) {
        int child_fd = listen_on(&o->addr, o->listen, true);
        pid_t pid = fork();

        if (pid < 0)
            fail("fork", NULL);
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
            close(*fd);
            *fd = child_fd;
            return false;
        }
        close(child_fd);
    }
    return true;
}

static void
say_listening(const struct options *o)
{
    unsigned port = ntohs(o->addr.sin_port);
    char host[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &o->addr.sin_addr, host, sizeof(host));
    printf("listening %s:%u\n", host, port);
    fflush(stdout);
    if (o->port_file != NULL)
        port_file_write(o->port_file, port);
}

int
mock_main(int argc, char **argv, const char *listen_default, void (*help)(void))
{
    struct options o = {.help = help, .listen = listen_default, .workers = 1};
    struct tls *tls = NULL;
    int fd, rc;

    ASSERT(address_parse(listen_default, &o.addr));
    faults_clear(&o.faults);
    rc = options_read(&o, argc, argv);
    if (rc >= 0)
        return rc;
    signal(SIGPIPE, SIG_IGN);
    descriptors_raise();
    fd = listen_on(&o.addr, o.listen, o.workers > 1);
    if (fork_others(&o, &fd))
        say_listening(&o);
    calls_init();
    answer_init(o.keys, o.key_count);
    faults_default_set(&o.faults, faults_any(&o.faults) ? UINT64_MAX : 0);
    if (o.cert != NULL && (tls = tls_config_new(o.cert, o.key_file)) == NULL)
        return 1;
    conn_listen(fd, tls);
    conn_loop();
}
