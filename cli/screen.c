#include "cli/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* Alternate screen, no cursor, no wrapping at the edge; and all of it back. */
#define BEGIN "\033[?1049h\033[?25l\033[?7l"
#define END "\033[?7h\033[?25h\033[?1049l"

static const int ends[] = {SIGTERM, SIGHUP, SIGQUIT};
static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static struct {
    struct termios before;
    sigset_t mask_before;
    int signal_fd;
    volatile sig_atomic_t open;
} screen = {.signal_fd = -1};

static void
put(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, bytes, len);

        if (n < 0 && errno != EINTR)
            return;
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

static void
raw(void)
{
    struct termios now = screen.before;

    now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
    put(BEGIN, sizeof(BEGIN) - 1);
}

/* Also from a signal's handler: system calls alone. */
static void
restore(void)
{
    put(END, sizeof(END) - 1);
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &screen.before);
}

/* Handlers were taken back as this one began, so that the signal then does what it does. */
static void
on_fault(int number)
{
    if (screen.open) {
        screen.open = 0;
        restore();
    }
    (void)raise(number);
}

static void
catch_faults(void)
{
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = (int)SA_RESETHAND};

    for (size_t i = 0; i < COUNT_OF(faults); i++)
        (void)sigaction(faults[i], &action, NULL);
}

int
screen_open(void)
{
    sigset_t mask;

    ASSERT(!screen.open);
    if (tcgetattr(STDIN_FILENO, &screen.before) != 0)
        return -errno;
    sigemptyset(&mask);
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        sigaddset(&mask, ends[i]);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGWINCH);
    sigaddset(&mask, SIGTSTP);
    sigaddset(&mask, SIGCONT);
    (void)sigprocmask(SIG_BLOCK, &mask, &screen.mask_before);
    screen.signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (screen.signal_fd < 0) {
        int rc = -errno;

        (void)sigprocmask(SIG_SETMASK, &screen.mask_before, NULL);
        return rc;
    }
    /* What was told of the terminal's size would stay while it changes. */
    (void)unsetenv("COLUMNS");
    (void)unsetenv("LINES");
    catch_faults();
    screen.open = 1;
    raw();
    return 0;
}

void
screen_close(void)
{
    if (!screen.open)
        return;
    screen.open = 0;
    restore();
    close(screen.signal_fd);
    screen.signal_fd = -1;
    (void)sigprocmask(SIG_SETMASK, &screen.mask_before, NULL);
}

void
screen_draw(struct str lines)
{
    struct buf out;

    buf_init(&out, 1u << 20);
    buf_add_fmt(&out, "\033[H");
    for (size_t at = 0; at < lines.len;) {
        const char *end = memchr(lines.ptr + at, '\n', lines.len - at);
        size_t len = end != NULL ? (size_t)(end - lines.ptr) - at : lines.len - at;

        buf_add_fmt(&out, "%s%.*s\033[K", at > 0 ? "\r\n" : "", (int)len, lines.ptr + at);
        at += len + 1;
    }
    buf_add_fmt(&out, "\033[J");
    put(out.ptr, out.len);
    buf_free(&out);
}

/* The signal does what it would have done without us. */
static void
die_of(int number)
{
    sigset_t one;

    screen_close();
    sigemptyset(&one);
    sigaddset(&one, number);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
    (void)sigprocmask(SIG_UNBLOCK, &one, NULL);
}

/* Stops as Ctrl-Z has it; goes on here when the shell says so. */
static void
stop_of(int number)
{
    sigset_t one;

    restore();
    sigemptyset(&one);
    sigaddset(&one, number);
    (void)raise(number);
    (void)sigprocmask(SIG_UNBLOCK, &one, NULL);
    (void)sigprocmask(SIG_BLOCK, &one, NULL);
    raw();
}

static enum screen_event
take_signal(void)
{
    struct signalfd_siginfo info;

    if (read(screen.signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return SCREEN_CHANGED;
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        if ((int)info.ssi_signo == ends[i])
            die_of(ends[i]);
    if (info.ssi_signo == SIGINT)
        return SCREEN_END;
    if (info.ssi_signo == SIGTSTP)
        stop_of(SIGTSTP);
    return SCREEN_CHANGED;
}

enum screen_event
screen_wait(unsigned ms, char *key)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = screen.signal_fd, .events = POLLIN}};
    int n = poll(fds, COUNT_OF(fds), (int)ms);

    ASSERT(screen.open);
    if (n == 0)
        return SCREEN_TIME;
    if (n < 0)
        return errno == EINTR ? SCREEN_CHANGED : SCREEN_END;
    if (fds[1].revents != 0)
        return take_signal();
    return read(STDIN_FILENO, key, 1) == 1 ? SCREEN_KEY : SCREEN_END;
}
