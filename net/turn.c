#include "net/turn.h"

#include <string.h>

#include "net/conn.h"
#include "net/conn_in.h"

/* conn->turn is 1 + the index of its entry. */
static struct turn_entry *
entry_of(struct turn *turn, const struct conn *conn)
{
    struct turn_entry *entry = &turn->entries[conn->turn - 1];

    ASSERT(conn->turn > 0 && conn->turn <= turn->count && entry->conn == conn);
    return entry;
}

static void
send_entry(struct turn *turn, struct turn_entry *entry)
{
    struct iovec iov = {.iov_base = turn->bytes + entry->off, .iov_len = entry->len};
    int rc;

    if (entry->len == 0)
        return;
    entry->len = 0;
    rc = conn_send_now(entry->conn, &iov, 1);
    if (rc < 0)
        entry->err = rc;
}

void
turn_send(struct turn *turn, struct conn *conn)
{
    struct turn_entry *entry = entry_of(turn, conn);

    send_entry(turn, entry);
    if (entry->err == 0)
        turn_forget(turn, conn);
}

void
turn_forget(struct turn *turn, struct conn *conn)
{
    entry_of(turn, conn)->conn = NULL;
    conn->turn = 0;
}

/* Room for total bytes more. While the turn is being ended nothing may be moved. */
static bool
make_room(struct turn *turn, size_t total)
{
    if (turn->count < TURN_ENTRIES && turn->len + total <= TURN_BYTES)
        return true;
    if (turn->sending)
        return false;
    for (unsigned i = 0; i < turn->count; i++)
        if (turn->entries[i].conn != NULL)
            send_entry(turn, &turn->entries[i]);
    turn->len = 0; /* entries stay for the errors that are to be told */
    return turn->count < TURN_ENTRIES;
}

static void
copy_in(struct turn *turn, struct turn_entry *entry, const struct iovec *iov, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].iov_len == 0)
            continue;
        memcpy(turn->bytes + turn->len, iov[i].iov_base, iov[i].iov_len);
        turn->len += (uint32_t)iov[i].iov_len;
        entry->len += (uint32_t)iov[i].iov_len;
    }
}

bool
turn_add(struct turn *turn, struct conn *conn, const struct iovec *iov, unsigned count,
         size_t total)
{
    struct turn_entry *entry;

    ASSERT(total <= TURN_WRITE_MAX);
    if (!make_room(turn, total)) {
        if (conn->turn != 0)
            turn_send(turn, conn);
        return false;
    }
    if (conn->turn != 0) {
        entry = entry_of(turn, conn);
        if (entry->err == 0 && entry->len > 0 && entry->off + entry->len == turn->len) {
            copy_in(turn, entry, iov, count); /* still the last: its bytes go on */
            return true;
        }
        turn_send(turn, conn);
        if (conn->turn != 0 || turn->count == TURN_ENTRIES)
            return false; /* it failed: conn_send_now() says so */
    }
    entry = &turn->entries[turn->count++];
    *entry = (struct turn_entry){.conn = conn, .off = turn->len};
    conn->turn = (uint16_t)turn->count;
    copy_in(turn, entry, iov, count);
    return true;
}

void
turn_end(struct turn *turn)
{
    if (turn->count == 0)
        return;
    turn->sending = true;
    /* Owners that are told may write to others: their entries come behind, and are sent too. */
    for (unsigned i = 0; i < turn->count; i++) {
        struct turn_entry *entry = &turn->entries[i];
        struct conn *conn = entry->conn;
        int err;

        if (conn == NULL)
            continue;
        send_entry(turn, entry);
        err = entry->err;
        turn_forget(turn, conn);
        if (err < 0)
            conn_write_failed(conn, err);
    }
    turn->sending = false;
    turn->count = 0;
    turn->len = 0;
}
