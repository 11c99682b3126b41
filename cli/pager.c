#include "cli/pager.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/term.h"

#define NOT_FOUND 127 /* as shells say it */

static struct {
    int text_fd;   /* what is printed; -1: nothing is kept back */
    int output_fd; /* standard output as it was */
} pager = {-1, -1};

/* NULL: none is wanted. */
static const char *
pager_command(void)
{
    const char *command = getenv("PAGER");

    if (command == NULL)
        return "if command -v less >/dev/null; then exec less; else exec more; fi";
    return command[0] == '\0' || strcmp(command, "cat") == 0 ? NULL : command;
}

void
pager_begin(void)
{
    if (!term_is(stdout) || pager_command() == NULL || fflush(stdout) != 0)
        return;
    pager.text_fd = memfd_create("listing", MFD_CLOEXEC);
    pager.output_fd = dup(STDOUT_FILENO);
    if (pager.text_fd >= 0 && pager.output_fd >= 0 && dup2(pager.text_fd, STDOUT_FILENO) >= 0)
        return;
    if (pager.text_fd >= 0)
        close(pager.text_fd);
    if (pager.output_fd >= 0)
        close(pager.output_fd);
    pager.text_fd = pager.output_fd = -1;
}

/* Reads the text from its beginning: gives its lines, or copies it. */
static unsigned
pass(int to_fd)
{
    char bytes[8192];
    unsigned lines = 0;
    off_t at = 0;
    ssize_t n;

    while ((n = pread(pager.text_fd, bytes, sizeof(bytes), at)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            lines += bytes[i] == '\n';
        for (ssize_t done = 0; to_fd >= 0 && done < n;) {
            ssize_t written = write(to_fd, bytes + done, (size_t)(n - done));

            if (written < 0 && errno != EINTR)
                return lines;
            done += written > 0 ? written : 0;
        }
        at += n;
    }
    return lines;
}

static void
pager_exec(const char *command)
{
    if (lseek(pager.text_fd, 0, SEEK_SET) != 0 || dup2(pager.text_fd, STDIN_FILENO) < 0)
        _exit(NOT_FOUND);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGPIPE, SIG_DFL);
    /* As colours are, and as git does: quit when it fits, keep the screen. */
    (void)setenv("LESS", "FRX", 0);
    (void)setenv("LESSCHARSET", "utf-8", 0);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(NOT_FOUND);
}

/* False: no pager has shown it. */
static bool
pager_show(const char *command)
{
    void (*was)(int) = signal(SIGINT, SIG_IGN); /* it is the pager's */
    pid_t pid = fork();
    int status = 0;

    if (pid == 0)
        pager_exec(command);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    (void)signal(SIGINT, was);
    return pid > 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND);
}

void
pager_end(void)
{
    if (pager.text_fd < 0)
        return;
    (void)fflush(stdout);
    (void)dup2(pager.output_fd, STDOUT_FILENO);
    if (pass(-1) < term_height() || !pager_show(pager_command()))
        (void)pass(STDOUT_FILENO);
    close(pager.text_fd);
    close(pager.output_fd);
    pager.text_fd = pager.output_fd = -1;
}
