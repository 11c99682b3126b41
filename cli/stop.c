#include "cli/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/client.h"
#include "cli/help.h"
#include "cli/local.h"

static void
pause_ms(unsigned ms)
{
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&wait, NULL);
}

enum cli_exit
stop_run(const struct cli_local *local)
{
    int pid = client_master_pid(local->state_dir);

    if (pid == -EACCES)
        return complain(CLI_NOT_ALLOWED, "stop", "the lock cannot be looked at",
                        "run as the server's user or as root");
    if (pid <= 0)
        return complain(CLI_NO_SERVER, "stop", "no server runs here",
                        "name its state directory with -s");
    for (int times = local_value(local, "now") != NULL ? 2 : 1; times > 0; times--) {
        if (kill(pid, SIGTERM) != 0 && errno != ESRCH)
            return complain(errno == EPERM ? CLI_NOT_ALLOWED : CLI_FAILED, "stop", strerror(errno),
                            NULL);
        if (times > 1)
            pause_ms(200);
    }
    /* Until calls have ended, however long that takes: the caller may interrupt us. */
    while (client_master_pid(local->state_dir) == pid)
        pause_ms(20);
    if (local->json)
        printf("{\"stopped\":true,\"pid\":%d}\n", pid);
    else
        printf("stopped\n");
    return CLI_DONE;
}
