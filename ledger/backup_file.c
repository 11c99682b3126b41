#include "ledger/backup_file.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRAME_MAGIC 0x31425054u /* "TPB1" */
#define WAIT_MS 200
#define STALL_US UINT64_C(60000000)

struct frame_head {
    uint32_t magic, kind, payload_bytes, number;
};
_Static_assert(sizeof(struct frame_head) == 16, "the file's form");

struct entry_head {
    uint32_t value_len;
    uint16_t key_len;
    uint8_t table, zero;
};
_Static_assert(sizeof(struct entry_head) == 8, "the file's form");

/* ---- writing ---- */

void
backup_out_start(struct backup_out *out, int fd, bool (*stop)(void *arg), void *arg)
{
    struct stat st;

    memset(out, 0, sizeof(*out));
    out->fd = fd;
    out->stop = stop;
    out->arg = arg;
    out->plain = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    /* Should this fail, the first write tells. */
    if (!out->plain)
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    buf_init(&out->frame, BACKUP_FRAME_BYTES_MAX + sizeof(struct frame_head));
}

static bool
is_stopped(const struct backup_out *out)
{
    return out->stop != NULL && out->stop(out->arg);
}

static int
write_all(struct backup_out *out, const void *bytes, size_t len)
{
    const char *at = bytes;
    uint64_t moved_us = clock_mono_us();

    while (len > 0) {
        ssize_t n;

        if (is_stopped(out))
            return -ECANCELED;
        n = write(out->fd, at, len);
        if (n < 0 && errno == EAGAIN && !out->plain) {
            struct pollfd pfd = {.fd = out->fd, .events = POLLOUT};

            if (clock_mono_us() > moved_us + STALL_US)
                return -ETIMEDOUT;
            (void)poll(&pfd, 1, WAIT_MS);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        moved_us = clock_mono_us();
        at += n;
        len -= (size_t)n;
        out->bytes += (size_t)n;
    }
    return 0;
}

static void
frame_start(struct backup_out *out)
{
    static const struct frame_head none;

    if (out->frame.len == 0)
        (void)buf_add(&out->frame, &none, sizeof(none));
}

static int
frame_write(struct backup_out *out, enum backup_kind kind)
{
    struct frame_head head = {
        .magic = FRAME_MAGIC,
        .kind = (uint32_t)kind,
        .payload_bytes = (uint32_t)(out->frame.len - sizeof(head)),
        .number = out->number++,
    };
    struct str last = {(const char *)out->hash, HASH_LEN};
    uint8_t hash[HASH_LEN];
    int rc;

    if (out->frame.failed)
        return -ENOMEM;
    ASSERT(out->frame.len >= sizeof(head));
    memcpy(out->frame.ptr, &head, sizeof(head));
    hash_pair(last, buf_str(&out->frame), hash);
    memcpy(out->hash, hash, HASH_LEN);
    rc = write_all(out, out->frame.ptr, out->frame.len);
    out->frame.len = 0;
    return rc < 0 ? rc : write_all(out, hash, HASH_LEN);
}

int
backup_out_note(struct backup_out *out, enum backup_kind kind, struct str json)
{
    int rc = out->frame.len > 0 ? frame_write(out, BACKUP_DATA) : 0;

    if (rc < 0)
        return rc;
    frame_start(out);
    (void)buf_add_str(&out->frame, json);
    return frame_write(out, kind);
}

int
backup_out_entry(struct backup_out *out, uint8_t table, struct str key, struct str value)
{
    struct entry_head head = {
        .value_len = (uint32_t)value.len,
        .key_len = (uint16_t)key.len,
        .table = table,
    };

    ASSERT(key.len <= UINT16_MAX);
    ASSERT(value.len <= BACKUP_FRAME_BYTES_MAX / 2);
    frame_start(out);
    (void)buf_add(&out->frame, &head, sizeof(head));
    (void)buf_add_str(&out->frame, key);
    if (!buf_add_str(&out->frame, value))
        return -ENOMEM;
    out->entries++;
    return out->frame.len >= BACKUP_FRAME_BYTES ? frame_write(out, BACKUP_DATA) : 0;
}

void
backup_out_end(struct backup_out *out)
{
    /* It has held the secret that keys are hashed with. */
    if (out->frame.ptr != NULL)
        explicit_bzero(out->frame.ptr, out->frame.cap);
    buf_free(&out->frame);
}

/* ---- reading ---- */

void
backup_in_start(struct backup_in *in, int fd)
{
    memset(in, 0, sizeof(*in));
    in->fd = fd;
    buf_init(&in->frame, BACKUP_FRAME_BYTES_MAX + sizeof(struct frame_head) + HASH_LEN);
}

static int
damaged(struct backup_in *in, const char *fault)
{
    in->fault = fault;
    return -EILSEQ;
}

/* Up to so many bytes more; fewer only at the end of the file. */
static int
read_more(struct backup_in *in, size_t len)
{
    if (!buf_reserve(&in->frame, len))
        return -ENOMEM;
    while (len > 0) {
        struct pollfd pfd = {.fd = in->fd, .events = POLLIN};
        ssize_t n;

        if (in->stop != NULL && in->stop(in->arg))
            return -ECANCELED;
        if (poll(&pfd, 1, WAIT_MS) <= 0)
            continue; /* a pipe that makes us wait, or a signal */
        n = read(in->fd, in->frame.ptr + in->frame.len, len);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        in->frame.len += (size_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int
frame_head_read(struct backup_in *in, struct frame_head *head)
{
    int rc;

    in->frame.len = 0;
    rc = read_more(in, sizeof(*head));
    if (rc < 0)
        return rc;
    if (in->frame.len == 0)
        return damaged(in, in->number == 0 ? "the file is empty" : "the file ends before its end mark");
    if (in->frame.len >= sizeof(head->magic)) {
        memcpy(&head->magic, in->frame.ptr, sizeof(head->magic));
        if (head->magic != FRAME_MAGIC)
            return damaged(in, in->number == 0 ? "this is no backup of turnpike"
                                               : "what stands there is no part of a backup");
    }
    if (in->frame.len < sizeof(*head))
        return damaged(in, "the file is cut off");
    memcpy(head, in->frame.ptr, sizeof(*head));
    if (head->kind >= BACKUP_KIND_COUNT || head->payload_bytes > BACKUP_FRAME_BYTES_MAX ||
        head->number != in->number || (head->kind == BACKUP_HEAD) != (in->number == 0))
        return damaged(in, "what stands there is damaged, or not in its place");
    return 0;
}

int
backup_in_frame(struct backup_in *in)
{
    struct frame_head head;
    struct str last = {(const char *)in->hash, HASH_LEN};
    uint8_t hash[HASH_LEN];
    size_t len;
    int rc;

    in->at = in->next;
    rc = frame_head_read(in, &head);
    if (rc < 0)
        return rc;
    len = sizeof(head) + head.payload_bytes;
    rc = read_more(in, head.payload_bytes + HASH_LEN);
    if (rc < 0)
        return rc;
    if (in->frame.len < len + HASH_LEN)
        return damaged(in, "the file is cut off");
    hash_pair(last, (struct str){in->frame.ptr, len}, hash);
    if (memcmp(hash, in->frame.ptr + len, HASH_LEN) != 0)
        return damaged(in, "its hash is not that of its contents");
    memcpy(in->hash, hash, HASH_LEN);
    in->payload = (struct str){in->frame.ptr + sizeof(head), head.payload_bytes};
    in->kind = (enum backup_kind)head.kind;
    in->taken = 0;
    in->number++;
    in->next += len + HASH_LEN;
    return 0;
}

bool
backup_in_entry(struct backup_in *in, uint8_t *table, struct str *key, struct str *value)
{
    struct entry_head head;
    size_t left = in->payload.len - in->taken;
    const char *at = in->payload.ptr + in->taken;

    if (left == 0)
        return false;
    if (left >= sizeof(head)) {
        memcpy(&head, at, sizeof(head));
        left -= sizeof(head);
        if (head.key_len > 0 && head.key_len <= left && head.value_len <= left - head.key_len) {
            *table = head.table;
            *key = (struct str){at + sizeof(head), head.key_len};
            *value = (struct str){key->ptr + head.key_len, head.value_len};
            in->taken += sizeof(head) + head.key_len + head.value_len;
            return true;
        }
    }
    in->fault = "an entry in it makes no sense";
    return false;
}

int
backup_in_over(struct backup_in *in)
{
    int rc;

    in->at = in->next;
    in->frame.len = 0;
    rc = read_more(in, 1);
    if (rc < 0)
        return rc;
    return in->frame.len == 0 ? 0 : damaged(in, "something follows the end mark");
}

void
backup_in_end(struct backup_in *in)
{
    if (in->frame.ptr != NULL)
        explicit_bzero(in->frame.ptr, in->frame.cap);
    buf_free(&in->frame);
}

struct str
backup_in_peek(struct str bytes)
{
    struct frame_head head;

    if (bytes.len < sizeof(head))
        return STR_NONE;
    memcpy(&head, bytes.ptr, sizeof(head));
    if (head.magic != FRAME_MAGIC || head.payload_bytes > bytes.len - sizeof(head))
        return STR_NONE;
    return (struct str){bytes.ptr + sizeof(head), head.payload_bytes};
}
