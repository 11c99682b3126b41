/* Mail's way out: a server, or a program. */
#include "manage/mail.h"

#include "base/clock.h"
#include "base/str.h"
#include "manage/curl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDRESS_CAP 264
#define REAP_MS 20
/* sysexits.h: what a sendmail says of an address or a message that will never do. */
#define EX_DATAERR_ 65
#define EX_NOUSER_ 67
#define EX_NOHOST_ 68

/* ---- a server ---- */

static size_t
on_read(char *out, size_t size, size_t count, void *arg)
{
    struct str *left = arg;
    size_t len = MIN(size * count, left->len);

    memcpy(out, left->ptr, len);
    left->ptr += len;
    left->len -= len;
    return len;
}

/* What curl says of a reply is its text, which may tell the address: the status is enough. */
static enum mail_sent
judge(const struct curl_api *api, const struct curl_way *way, CURLcode code, long status, char *why,
      size_t why_cap)
{
    if (code == CURLE_OK)
        return MAIL_SENT;
    if (status >= 400 && (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
                          code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_LOGIN_DENIED))
        snprintf(why, why_cap, "the server answers %ld%s", status,
                 code == CURLE_LOGIN_DENIED ? " to our password" : "");
    else
        snprintf(why, why_cap, "%s", curl_why(api, way, code));
    /* A password that is wrong, or encryption that is not there, is ours to mend: the mail waits. */
    if (code == CURLE_LOGIN_DENIED || code == CURLE_USE_SSL_FAILED || status == 530 || status == 535)
        return MAIL_LATER;
    return status >= 500 && status <= 599 ? MAIL_NEVER : MAIL_LATER;
}

static bool
smtp_set(const struct curl_api *api, CURL *easy, const struct conf_mail *conf,
         struct curl_slist **list, struct str to, struct str *left)
{
    char from[ADDRESS_CAP], rcpt[ADDRESS_CAP];
    bool ok;

    snprintf(from, sizeof(from), "<%.*s>", STR_ARGS(conf->from));
    snprintf(rcpt, sizeof(rcpt), "<%.*s>", STR_ARGS(to));
    *list = api->slist_append(NULL, rcpt);
    ok = *list != NULL && api->easy_setopt(easy, CURLOPT_MAIL_FROM, from) == CURLE_OK &&
         api->easy_setopt(easy, CURLOPT_MAIL_RCPT, *list) == CURLE_OK &&
         api->easy_setopt(easy, CURLOPT_UPLOAD, 1L) == CURLE_OK &&
         api->easy_setopt(easy, CURLOPT_READFUNCTION, on_read) == CURLE_OK &&
         api->easy_setopt(easy, CURLOPT_READDATA, left) == CURLE_OK &&
         api->easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)left->len) == CURLE_OK &&
         api->easy_setopt(easy, CURLOPT_USE_SSL,
                          conf->tls == CONF_MAIL_TLS_OFF ? (long)CURLUSESSL_NONE
                                                         : (long)CURLUSESSL_ALL) == CURLE_OK;
    if (ok && conf->user.ptr != NULL)
        ok = api->easy_setopt(easy, CURLOPT_USERNAME, conf->user.ptr) == CURLE_OK &&
             api->easy_setopt(easy, CURLOPT_PASSWORD, conf->password.ptr) == CURLE_OK;
    return ok;
}

static enum mail_sent
send_smtp(const struct conf_mail *conf, struct str to, struct str message, char *why,
          size_t why_cap)
{
    const char *missing, *format = strchr(conf->host.ptr, ':') != NULL ? "%s://[%s]:%u/%.*s"
                                                                       : "%s://%s:%u/%.*s";
    const struct curl_api *api = manage_curl(&missing);
    CURL *easy = api != NULL ? api->easy_init() : NULL;
    struct curl_way way = {.protocols = conf->implicit ? "smtps" : "smtp",
                           .ca_file = conf->ca_file.ptr,
                           .timeout_ms = conf->timeout_ms,
                           .local = conf->local};
    struct curl_slist *list = NULL;
    struct str domain, left = message;
    enum mail_sent sent = MAIL_LATER;
    long status = 0;
    char url[640];

    if (easy == NULL) {
        snprintf(why, why_cap, "%s", missing != NULL ? missing : "out of memory");
        return MAIL_LATER;
    }
    (void)str_split(conf->from, '@', &domain);
    /* The path is what we greet with: the domain that we send for, not this machine's own name. */
    snprintf(url, sizeof(url), format, way.protocols, conf->host.ptr, (unsigned)conf->port,
             STR_ARGS(domain));
    way.url = url;
    snprintf(why, why_cap, "libcurl does not take its settings");
    if (curl_way_set(api, easy, &way) && smtp_set(api, easy, conf, &list, to, &left)) {
        CURLcode code = api->easy_perform(easy);

        api->easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        why[0] = '\0';
        sent = judge(api, &way, code, status, why, why_cap);
    }
    api->easy_cleanup(easy);
    if (list != NULL)
        api->slist_free(list);
    return sent;
}

/* ---- a program ---- */

/* Writes all of it, for as long as there is time. A program that reads no more ends that: its status says why. */
static void
feed(int fd, struct str message, uint64_t end_us)
{
    while (message.len > 0) {
        uint64_t now_us = clock_mono_us();
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        ssize_t wrote;

        if (now_us >= end_us || poll(&wait, 1, (int)((end_us - now_us) / 1000 + 1)) < 0)
            return;
        wrote = write(fd, message.ptr, message.len);
        if (wrote < 0 && errno != EAGAIN && errno != EINTR)
            return;
        if (wrote > 0) {
            message.ptr += wrote;
            message.len -= (size_t)wrote;
        }
    }
}

/* The status, or -1: it had to be killed. */
static int
reap(pid_t pid, uint64_t end_us)
{
    int status;

    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);

        if (got == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
        if (got < 0 && errno != EINTR)
            return 255;
        if (clock_mono_us() >= end_us)
            break;
        (void)poll(NULL, 0, REAP_MS);
    }
    kill(-pid, SIGKILL); /* and what it started */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return -1;
}

/* Nothing but its standard input is the program's: it gets no descriptor and no variable of ours. */
static int
start(const struct conf_mail *conf, struct str to, int in_fd, pid_t *pid)
{
    char from[ADDRESS_CAP], rcpt[ADDRESS_CAP];
    char *const argv[] = {(char *)(uintptr_t)conf->sendmail.ptr, "-i", "-f", from, "--", rcpt, NULL};
    char *const envp[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
                          NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int rc;

    str_copy(conf->from, from, sizeof(from));
    str_copy(to, rcpt, sizeof(rcpt));
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&files, in_fd, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                        POSIX_SPAWN_SETPGROUP);
    rc = posix_spawn(pid, argv[0], &files, &attr, argv, envp);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return rc;
}

static enum mail_sent
send_program(const struct conf_mail *conf, struct str to, struct str message, char *why,
             size_t why_cap)
{
    uint64_t end_us = clock_mono_us() + conf->timeout_ms * UINT64_C(1000);
    struct buf lines;
    int fds[2], rc;
    pid_t pid;

    if (to.ptr[0] == '-') { /* "--" stands before it; but not every sendmail knows that */
        snprintf(why, why_cap, "the address begins like an option");
        return MAIL_NEVER;
    }
    if (pipe2(fds, O_CLOEXEC) != 0) {
        snprintf(why, why_cap, "%s", strerror(errno));
        return MAIL_LATER;
    }
    rc = start(conf, to, fds[0], &pid);
    close(fds[0]);
    if (rc != 0) {
        close(fds[1]);
        snprintf(why, why_cap, "the program does not start: %s", strerror(rc));
        return MAIL_LATER;
    }
    buf_init(&lines, message.len + 1);
    for (size_t i = 0; i < message.len; i++)
        if (message.ptr[i] != '\r') /* a program's lines are those of this system */
            buf_add_char(&lines, message.ptr[i]);
    if (fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0)
        feed(fds[1], buf_str(&lines), end_us);
    if (lines.ptr != NULL)
        explicit_bzero(lines.ptr, lines.cap);
    buf_free(&lines);
    close(fds[1]);
    rc = reap(pid, end_us);
    if (rc == 0)
        return MAIL_SENT;
    if (rc < 0)
        snprintf(why, why_cap, "the program did not end in time");
    else
        snprintf(why, why_cap, "the program ends with %d", rc);
    return rc == EX_DATAERR_ || rc == EX_NOUSER_ || rc == EX_NOHOST_ ? MAIL_NEVER
                                                                                       : MAIL_LATER;
}

enum mail_sent
mail_send(const struct conf_mail *conf, struct str to, struct str message, char *why,
          size_t why_cap)
{
    why[0] = '\0';
    if (!mail_address_ok(to)) {
        snprintf(why, why_cap, "the address is none");
        return MAIL_NEVER;
    }
    return conf->sendmail.ptr != NULL ? send_program(conf, to, message, why, why_cap)
                                      : send_smtp(conf, to, message, why, why_cap);
}
