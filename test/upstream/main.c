/* Options, the listening sockets, and -w processes of one loop each. */
#include "test/upstream/sim.h"

#include "base/str.h"

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

static const char usage_text[] =
    "usage: sim-upstream [-l ADDR:PORT] [--port-file FILE] [--tls-cert FILE --tls-key FILE]\n"
    "                    [--key SECRET]... [-w N]\n"
    "A simulated model provider; see test/upstream/README.md. Port 0 picks a free one.\n";

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "sim-upstream: %s: %s\n", what, strerror(errno));
    exit(1);
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
listen_on(struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*addr);
    int on = 1;

    if (fd < 0)
        fail("socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)addr, sizeof(*addr)) < 0)
        fail("bind");
    if (listen(fd, 16384) < 0)
        fail("listen");
    if (getsockname(fd, (struct sockaddr *)addr, &len) < 0)
        fail("getsockname");
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
        fail(path);
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
    struct sockaddr_in addr;
    const char *port_file, *cert, *key_file;
    struct str keys[16];
    size_t key_count;
    uint64_t workers;
};

static bool
options_read(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"listen", required_argument, NULL, 'l'},
        {"port-file", required_argument, NULL, 'p'},
        {"tls-cert", required_argument, NULL, 'c'},
        {"tls-key", required_argument, NULL, 't'},
        {"key", required_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int opt;

    *o = (struct options){.workers = 1};
    (void)address_parse("127.0.0.1:0", &o->addr);
    while ((opt = getopt_long(argc, argv, "l:w:h", longs, NULL)) != -1) {
        switch (opt) {
        case 'l':
            if (!address_parse(optarg, &o->addr))
                return false;
            break;
        case 'p': o->port_file = optarg; break;
        case 'c': o->cert = optarg; break;
        case 't': o->key_file = optarg; break;
        case 'k':
            if (o->key_count == COUNT_OF(o->keys))
                return false;
            o->keys[o->key_count++] = str_from(optarg);
            break;
        case 'w':
            if (!str_to_count(str_from(optarg), 64, &o->workers) || o->workers == 0)
                return false;
            break;
        default: return false;
        }
    }
    return optind == argc && (o->cert == NULL) == (o->key_file == NULL);
}

int
main(int argc, char **argv)
{
    struct options o;

    if (!options_read(&o, argc, argv)) {
        fputs(usage_text, stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    descriptors_raise();
    int fd = listen_on(&o.addr);
    unsigned port = ntohs(o.addr.sin_port);
    char host[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &o.addr.sin_addr, host, sizeof(host));
    for (uint64_t i = 1; i < o.workers; i++) {
        /* Bound before the line below is printed: no connection finds a missing listener. */
        int child_fd = listen_on(&o.addr);
        pid_t pid = fork();

        if (pid < 0)
            fail("fork");
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
            close(fd);
            fd = child_fd;
            goto serve;
        }
        close(child_fd);
    }
    printf("listening %s:%u\n", host, port);
    fflush(stdout);
    if (o.port_file != NULL)
        port_file_write(o.port_file, port);
serve:
    calls_init();
    answer_init(o.keys, o.key_count);
    struct tls *tls = NULL;
    if (o.cert != NULL && (tls = tls_config_new(o.cert, o.key_file)) == NULL)
        return 1;
    conn_listen(fd, tls);
    conn_loop();
}
