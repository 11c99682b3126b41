#include "net/arrivals.h"

#include "net/conn.h"
#include "net/conn_in.h"

#include <errno.h>
#include <sys/socket.h>

static bool
has_room(const struct arrivals *arrivals, size_t cap)
{
    return arrivals->count < ARRIVALS_MAX && arrivals->len + cap <= ARRIVALS_BYTES;
}

ssize_t
arrivals_take(struct arrivals *arrivals, struct conn *conn, size_t cap)
{
    struct arrival *entry;
    ssize_t got;

    ASSERT(!conn->arrived);
    if (!has_room(arrivals, cap))
        arrivals_deliver(arrivals);
    if (conn->state != CONN_OPEN || !conn->want_read) {
        errno = EAGAIN; /* so it goes when others are dealt with: it is not to be read any more */
        return -1;
    }
    got = recv(conn->fd, arrivals->bytes + arrivals->len, cap, 0);
    if (got <= 0)
        return got;
    entry = &arrivals->entries[arrivals->count++];
    *entry = (struct arrival){conn, arrivals->len, (uint32_t)got};
    conn->arrived = true;
    /* The next begins on a line of its own. */
    arrivals->len = (uint32_t)MIN((arrivals->len + (size_t)got + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1),
                                  ARRIVALS_BYTES);
    return got;
}

static void
deliver(const struct arrivals *arrivals, const struct arrival *entry)
{
    struct conn *conn = entry->conn;
    uint8_t *bytes = (uint8_t *)(uintptr_t)arrivals->bytes + entry->off;

    conn->arrived = false;
    if (conn->state != CONN_OPEN)
        return;
    if (conn->tls != NULL)
        conn_tls_input(conn, bytes, entry->len);
    else
        conn->events->on_data(conn, bytes, entry->len);
}

/* Connections that close meanwhile keep their memory: their last callback comes later in the turn. */
void
arrivals_deliver(struct arrivals *arrivals)
{
    for (unsigned i = 0; i < arrivals->count; i++)
        if (!arrivals->entries[i].conn->accepted)
            deliver(arrivals, &arrivals->entries[i]);
    for (unsigned i = 0; i < arrivals->count; i++)
        if (arrivals->entries[i].conn->accepted)
            deliver(arrivals, &arrivals->entries[i]);
    arrivals->count = 0;
    arrivals->len = 0;
}
