#include "cli/apart.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/help.h"

static void
ending_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCHLD);
}

static void
run_child(const struct apart *apart, const sigset_t *old_mask, pid_t parent)
{
    enum cli_exit status;

    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(CLI_FAILED);
    (void)sigprocmask(SIG_SETMASK, old_mask, NULL);
    status = apart->work(apart->arg, apart->said);
    (void)fflush(NULL);
    _exit((int)status);
}

/* Its end, whatever else happens meanwhile. */
static int
wait_child(struct apart *apart, pid_t pid, const sigset_t *set)
{
    int status = 0;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        int signo = sigwaitinfo(set, NULL);

        if (signo <= 0 || signo == SIGCHLD)
            continue;
        apart->signal = signo;
        (void)kill(pid, SIGTERM);
    }
    return status;
}

enum cli_exit
apart_run(struct apart *apart, const char *noun)
{
    sigset_t set, old_mask;
    pid_t pid, parent = getpid();
    int status;

    apart->signal = 0;
    apart->said = mmap(NULL, sizeof(*apart->said), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (apart->said == MAP_FAILED) {
        apart->said = NULL;
        return complain(CLI_FAILED, noun, "out of memory", NULL);
    }
    (void)fflush(NULL);
    ending_signals(&set);
    (void)sigprocmask(SIG_BLOCK, &set, &old_mask);
    pid = fork();
    if (pid == 0)
        run_child(apart, &old_mask, parent);
    if (pid < 0) {
        (void)sigprocmask(SIG_SETMASK, &old_mask, NULL);
        return complain(CLI_FAILED, noun, strerror(errno), NULL);
    }
    status = wait_child(apart, pid, &set);
    if (apart->signal != 0)
        return CLI_FAILED; /* the mask stays: apart_end() comes before the end */
    (void)sigprocmask(SIG_SETMASK, &old_mask, NULL);
    if (WIFEXITED(status))
        return (enum cli_exit)WEXITSTATUS(status);
    return complain(CLI_FAILED, noun, "its process was killed", "nothing was left of it");
}

void
apart_say(struct apart_said *said, struct str text)
{
    ASSERT(text.len <= sizeof(said->text));
    memcpy(said->text, text.ptr, text.len);
    said->len = text.len;
}

void
apart_end(struct apart *apart)
{
    sigset_t set;

    if (apart->said != NULL)
        (void)munmap(apart->said, sizeof(*apart->said));
    apart->said = NULL;
    if (apart->signal == 0)
        return;
    (void)signal(apart->signal, SIG_DFL);
    (void)raise(apart->signal);
    ending_signals(&set);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}
