#include "master/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

void
notify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t path_len;
    int fd;

    if (path == NULL || (path[0] != '/' && path[0] != '@'))
        return;
    path_len = strlen(path);
    if (path_len >= sizeof addr.sun_path)
        return;
    memcpy(addr.sun_path, path, path_len);
    if (path[0] == '@') /* the abstract name space */
        addr.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&addr,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len)) < 0)
        log_warn("notify.failed", "error=%s", log_quote((struct str){strerror(errno),
                                                                      strlen(strerror(errno))}));
    close(fd);
}

#define GOES_ON_EVERY_US UINT64_C(3000000)
#define GOES_ON_US UINT64_C(20000000)

void
notify_goes_on(const char *status)
{
    static char about[9]; /* "starting", "stopping", "upgradin": another is said at once */
    static uint64_t said_us;
    uint64_t now_us = clock_mono_us();
    char text[256];

    if (strncmp(status, about, sizeof about - 1) == 0 && now_us < said_us + GOES_ON_EVERY_US)
        return;
    said_us = now_us;
    memcpy(about, status, strnlen(status, sizeof about - 1));
    snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%llu\nSTATUS=%.160s",
             (unsigned long long)GOES_ON_US, status);
    notify_send(text);
}
