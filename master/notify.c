#include "master/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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
