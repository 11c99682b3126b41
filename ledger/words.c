/*
 * What the ledger process and the master say to each other over the lifeline, and what the master has to
 * do for those who ask by the control socket.
 */
#include "ledger/process.h"

#include "base/clock.h"
#include "ledger/command.h"
#include "ledger/control.h"
#include "ledger/core.h"
#include "ledger/deed.h"
#include "ledger/feed.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEAVE_US 1000000u    /* for commands that were read to be answered */

/* A word of the master's, and the file that came with it. As recv(). */
static ssize_t
word_receive(int fd, struct ledger_word *word, int *word_fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room;
    struct iovec part = {word, sizeof(*word)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = room.bytes, .msg_controllen = sizeof(room.bytes)};
    ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *with = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

    *word_fd = -1;
    if (with != NULL && with->cmsg_level == SOL_SOCKET && with->cmsg_type == SCM_RIGHTS &&
        with->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(word_fd, CMSG_DATA(with), sizeof(int));
    return n;
}

void
words_hear(struct process *process)
{
    struct ledger_word word = {0};
    int word_fd;
    ssize_t n = word_receive(process->lifeline_fd, &word, &word_fd);

    if (n > 0) {
        ASSERT(process->word.kind == 0); /* each is obeyed before the next is read */
        process->word = word;
        process->word_fd = word_fd;
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    process->lifeline_fd = -1;
    process->master_gone = process->believe_locks = process->ending = true;
    if (process->leaving)
        return;
    log_warn("master.gone", "pid=%d", (int)getppid());
    process->ledger->draining = true;
    if (process->control != NULL)
        control_answer(process->control, STR_NONE);
}

void
words_say(const struct process *process, enum ledger_word_kind kind, uint32_t generation)
{
    struct ledger_word word = {.kind = (uint32_t)kind, .generation = generation};

    if (process->lifeline_fd >= 0 &&
        send(process->lifeline_fd, &word, sizeof(word), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_warn("master.deaf", "errno=%d", errno);
}

/* The whole of a file that the master sent; empty when it cannot be had. */
static void
read_file(int fd, struct buf *text)
{
    struct stat st;

    buf_init(text, COMMAND_ANSWER_BYTES_MAX);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0 &&
        buf_reserve(text, (size_t)st.st_size) &&
        pread(fd, text->ptr, (size_t)st.st_size, 0) == st.st_size)
        text->len = (size_t)st.st_size;
}

/* What `status` says of certificates from now on. A master that sends none says nothing of them. */
static void
take_certificates(struct ledger *ledger, int fd)
{
    struct buf before = ledger->certificates, now;
    struct js_value checked;
    struct js_error ignored;

    if (fd < 0)
        return;
    read_file(fd, &now);
    if (!js_check(buf_str(&now), &checked, &ignored) || !js_is(checked, JS_ARRAY)) {
        buf_free(&now);
        return;
    }
    pthread_rwlock_wrlock(&ledger->conf_lock);
    ledger->certificates = now;
    pthread_rwlock_unlock(&ledger->conf_lock);
    buf_free(&before);
}

static void
answer(struct process *process, int fd)
{
    struct buf text;

    if (process->control == NULL)
        return;
    read_file(fd, &text);
    control_answer(process->control, buf_str(&text));
    buf_free(&text);
}

static int
take(struct process *process, const struct ledger_word *word)
{
    const struct command_actor *asker = NULL;

    feed_mark(process->ledger);
    reload_take(&process->reload, process->ledger);
    if (word->asked != 0 && process->control != NULL)
        asker = control_asker(process->control);
    return deed_reload(process->ledger, asker, word->generation);
}

static int
upgraded(struct process *process, int fd)
{
    struct buf text;
    int rc;

    read_file(fd, &text);
    rc = deed_upgrade(process->ledger, buf_str(&text));
    buf_free(&text);
    return rc;
}

static int
obey(struct process *process)
{
    struct ledger_word word = process->word;
    int fd = process->word_fd, rc = 0;
    bool kept;

    process->word.kind = 0;
    process->word_fd = -1;
    switch (word.kind) {
    case LEDGER_KEEP:
        rc = reload_keep(&process->reload, process->ledger, &word, &kept);
        if (rc == 0)
            words_say(process, kept ? LEDGER_KEPT : LEDGER_NOT_KEPT, word.generation);
        break;
    case LEDGER_TAKE:
        rc = take(process, &word);
        take_certificates(process->ledger, fd);
        break;
    case LEDGER_UPGRADED: rc = upgraded(process, fd); break;
    case LEDGER_DROP: reload_drop(&process->reload); break;
    case LEDGER_SAID: answer(process, fd); break;
    case LEDGER_LEAVE:
        process->leaving = true;
        process->leave_us = clock_mono_us() + LEAVE_US;
        if (process->control != NULL)
            control_leave(process->control);
        break;
    default: break; /* a master that knows more than we do */
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Who asks for an upgrade is the master's from here on. */
static void
hand_over(struct process *process, int fd)
{
    struct ledger_word word = {.kind = LEDGER_ASKS_UPGRADE};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room = {{0}};
    struct iovec part = {&word, sizeof(word)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = room.bytes, .msg_controllen = sizeof(room.bytes)};
    struct cmsghdr *with = CMSG_FIRSTHDR(&message);

    with->cmsg_level = SOL_SOCKET;
    with->cmsg_type = SCM_RIGHTS;
    with->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(with), &fd, sizeof(int));
    if (process->lifeline_fd >= 0 &&
        sendmsg(process->lifeline_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_warn("master.deaf", "errno=%d", errno);
    close(fd);
}

int
words_work(struct process *process)
{
    int hand_fd, rc = process->word.kind != 0 ? obey(process) : 0;

    if (rc == 0 && process->control != NULL)
        rc = control_work(process->control);
    if (rc == 0 && process->control != NULL && control_asks(process->control)) {
        if (process->lifeline_fd >= 0)
            words_say(process, LEDGER_ASKS, 0);
        else
            control_answer(process->control, STR_NONE);
    }
    hand_fd = rc == 0 && process->control != NULL ? control_hand(process->control) : -1;
    if (hand_fd >= 0)
        hand_over(process, hand_fd);
    return rc;
}
