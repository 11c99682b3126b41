#include "manage/ledger_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/str.h"

#define CONNS_MAX 8u
#define WAITING_MAX 1024u
#define AGAIN_MS 50u
/* The ledger process ends a connection that says nothing for 30 s: ours end before, so that no question is
 * sent into one that is being closed. */
#define IDLE_MS 20000u
#define ANSWER_BYTES_MAX (32u << 20)

enum link_state { LINK_CONNECTING = 0, LINK_IDLE, LINK_BUSY, LINK_CLOSING };

/* One connection. A question is its own until it is answered. */
struct link {
    struct list node; /* of the client's links */
    uv_pipe_t pipe;
    uv_connect_t connect;
    uv_write_t write;
    struct wheel_timer idle;
    struct ledger_client *client;
    struct ledger_ask *ask; /* LINK_BUSY: never NULL */
    enum link_state state;
    struct buf answer;
    size_t looked; /* of answer: no line's end before here */
    char read_buf[16384];
};

struct ledger_ask {
    struct list node; /* of those that wait, while link is NULL */
    struct wheel_timer due;
    struct ledger_client *client;
    struct link *link;
    bool again;
    ledger_client_fn answered; /* NULL: nobody waits */
    void *arg;
    struct buf request;
};

struct ledger_client {
    struct net *net;
    const char *path;
    struct list links;
    struct list waiting; /* first come, first asked */
    unsigned link_count, waiting_count;
    struct wheel_timer pause; /* set: nobody could be reached just now */
    bool ended;
};

static void pump(struct ledger_client *client);

/* ---- questions ---- */

static void
ask_free(struct ledger_ask *ask)
{
    wheel_cancel(&ask->client->net->wheel, &ask->due);
    /* There may be a password in it. */
    if (ask->request.ptr != NULL)
        explicit_bzero(ask->request.ptr, ask->request.cap);
    buf_free(&ask->request);
    free(ask);
}

static void
ask_unqueue(struct ledger_ask *ask)
{
    list_remove(&ask->node);
    ask->client->waiting_count--;
}

/* Ends the question, which is in no queue and on no link. Who is told may do anything but end the client. */
static void
ask_over(struct ledger_ask *ask, const struct ledger_answer *answer)
{
    ledger_client_fn answered = ask->answered;
    void *arg = ask->arg;

    ask_free(ask);
    if (answered != NULL)
        answered(arg, answer);
}

static void
ask_said(struct ledger_ask *ask, enum ledger_said said)
{
    ask_over(ask, &(struct ledger_answer){.said = said});
}

static void link_close(struct link *link);

static void
ask_on_due(struct wheel_timer *timer)
{
    struct ledger_ask *ask = CONTAINER_OF(timer, struct ledger_ask, due);
    struct link *link = ask->link;
    bool sent = link != NULL;

    if (sent) {
        link->ask = NULL;
        link_close(link);
    } else {
        ask_unqueue(ask);
    }
    ask_said(ask, sent && !ask->again ? LEDGER_UNKNOWN : LEDGER_AWAY);
}

/* ---- the answer ---- */

static struct str
text_of(struct js_value object, const char *name, char *room, size_t room_len)
{
    struct js_value value = js_get(object, str_from(name));

    return js_is(value, JS_STRING) && value.raw.len <= room_len ? js_unescape(value, room, room_len)
                                                                : STR_NONE;
}

static void
ask_answered(struct ledger_ask *ask, struct str line)
{
    struct ledger_answer answer = {.said = LEDGER_UNKNOWN};
    char code[64], field[128], why[1024], hint[1024];
    struct js_value document;
    struct js_error ignored;
    int64_t status = 0;

    if (!js_check(line, &document, &ignored)) {
        ask_over(ask, &answer);
        return;
    }
    answer.result = js_get(document, STR("result"));
    if (js_bool(js_get(document, STR("ok")), false) && js_is(answer.result, JS_OBJECT)) {
        answer.said = LEDGER_DONE;
        answer.refusal = document; /* "repeated" stands beside the result */
        ask_over(ask, &answer);
        return;
    }
    (void)!js_i64(js_get(document, STR("exit")), &status);
    answer.said = LEDGER_REFUSED;
    answer.refusal = document;
    answer.status = (int)status;
    answer.absent = js_bool(js_get(document, STR("absent")), false);
    answer.code = text_of(document, "code", code, sizeof code);
    answer.field = text_of(document, "field", field, sizeof field);
    answer.why = text_of(document, "why", why, sizeof why);
    answer.hint = text_of(document, "hint", hint, sizeof hint);
    ask_over(ask, &answer);
}

/* ---- connections ---- */

static void
link_on_closed(uv_handle_t *handle)
{
    struct link *link = CONTAINER_OF(handle, struct link, pipe);
    struct ledger_client *client = link->client;

    list_remove(&link->node);
    if (link->answer.ptr != NULL)
        explicit_bzero(link->answer.ptr, link->answer.cap);
    buf_free(&link->answer);
    free(link);
    client->link_count--;
    if (!client->ended)
        pump(client);
    else if (client->link_count == 0)
        free(client);
}

static void
link_close(struct link *link)
{
    if (link->state == LINK_CLOSING)
        return;
    ASSERT(link->ask == NULL);
    link->state = LINK_CLOSING;
    wheel_cancel(&link->client->net->wheel, &link->idle);
    uv_close((uv_handle_t *)&link->pipe, link_on_closed);
}

static void
pause_on_over(struct wheel_timer *timer)
{
    pump(CONTAINER_OF(timer, struct ledger_client, pause));
}

/* The connection is of no use any more. What had been asked on it is asked again, if that does no harm. */
static void
link_broke(struct link *link)
{
    struct ledger_client *client = link->client;
    struct ledger_ask *ask = link->ask;

    if (link->state == LINK_CLOSING)
        return;
    if (link->state != LINK_IDLE && !wheel_is_set(&client->pause))
        wheel_set(&client->net->wheel, &client->pause, AGAIN_MS, pause_on_over);
    link->ask = NULL;
    link_close(link);
    if (ask == NULL)
        return;
    ask->link = NULL;
    if (ask->again && ask->answered != NULL) {
        list_push_front(&client->waiting, &ask->node);
        client->waiting_count++;
        return;
    }
    ask_said(ask, LEDGER_UNKNOWN);
}

static void
link_on_idle(struct wheel_timer *timer)
{
    link_close(CONTAINER_OF(timer, struct link, idle));
}

static void
link_rest(struct link *link)
{
    link->state = LINK_IDLE;
    link->answer.len = 0;
    link->looked = 0;
    if (link->answer.ptr != NULL)
        explicit_bzero(link->answer.ptr, link->answer.cap);
    buf_free(&link->answer);
    wheel_set(&link->client->net->wheel, &link->idle, IDLE_MS, link_on_idle);
}

static void
link_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct link *link = CONTAINER_OF(handle, struct link, pipe);

    (void)suggested;
    *buf = uv_buf_init(link->read_buf, sizeof link->read_buf);
}

static void
link_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct link *link = CONTAINER_OF(stream, struct link, pipe);
    struct ledger_client *client = link->client;
    struct ledger_ask *ask = link->ask;
    struct buf answer;
    const char *end;

    if (n == 0 || link->state == LINK_CLOSING)
        return;
    /* Nothing is said unasked. */
    if (n < 0 || ask == NULL || !buf_add(&link->answer, buf->base, (size_t)n)) {
        link_broke(link);
        return;
    }
    end = memchr(link->answer.ptr + link->looked, '\n', link->answer.len - link->looked);
    if (end == NULL) {
        link->looked = link->answer.len;
        return;
    }
    answer = link->answer;
    buf_init(&link->answer, ANSWER_BYTES_MAX);
    link->ask = NULL;
    ask->link = NULL;
    link_rest(link);
    ask_answered(ask, (struct str){answer.ptr, (size_t)(end - answer.ptr)});
    explicit_bzero(answer.ptr, answer.cap);
    buf_free(&answer);
    pump(client);
}

static void
link_on_written(uv_write_t *write, int status)
{
    struct link *link = CONTAINER_OF(write, struct link, write);

    if (status < 0)
        link_broke(link);
}

static void
link_send(struct link *link, struct ledger_ask *ask)
{
    uv_buf_t buf = uv_buf_init(ask->request.ptr, (unsigned)ask->request.len);

    wheel_cancel(&link->client->net->wheel, &link->idle);
    link->state = LINK_BUSY;
    link->ask = ask;
    ask->link = link;
    if (uv_write(&link->write, (uv_stream_t *)&link->pipe, &buf, 1, link_on_written) < 0) {
        /* Not a byte of it went out: it waits for another connection. */
        link->ask = NULL;
        ask->link = NULL;
        list_push_front(&link->client->waiting, &ask->node);
        link->client->waiting_count++;
        link_close(link);
    }
}

static void
link_on_connected(uv_connect_t *connect, int status)
{
    struct link *link = CONTAINER_OF(connect, struct link, connect);

    if (link->state == LINK_CLOSING)
        return;
    if (status < 0 || uv_read_start((uv_stream_t *)&link->pipe, link_on_alloc, link_on_read) < 0) {
        link_broke(link);
        return;
    }
    link_rest(link);
    pump(link->client);
}

static bool
link_open(struct ledger_client *client)
{
    struct link *link = calloc(1, sizeof *link);

    if (link == NULL || uv_pipe_init(&client->net->loop, &link->pipe, 0) < 0) {
        free(link);
        return false;
    }
    link->client = client;
    link->state = LINK_CONNECTING;
    buf_init(&link->answer, ANSWER_BYTES_MAX);
    list_init(&link->node);
    list_push_back(&client->links, &link->node);
    client->link_count++;
    uv_pipe_connect(&link->connect, &link->pipe, client->path, link_on_connected);
    return true;
}

/* ---- who asks where ---- */

static struct link *
link_in(struct ledger_client *client, enum link_state state, unsigned *count)
{
    struct link *found = NULL;

    *count = 0;
    for (struct list *node = client->links.next; node != &client->links; node = node->next) {
        struct link *link = CONTAINER_OF(node, struct link, node);

        if (link->state == state) {
            found = link;
            ++*count;
        }
    }
    return found;
}

static void
pump(struct ledger_client *client)
{
    unsigned count;

    while (client->waiting_count > 0) {
        struct link *link = link_in(client, LINK_IDLE, &count);
        struct ledger_ask *ask;

        if (link == NULL)
            break;
        ask = CONTAINER_OF(client->waiting.next, struct ledger_ask, node);
        ask_unqueue(ask);
        link_send(link, ask);
    }
    if (client->waiting_count == 0 || wheel_is_set(&client->pause))
        return;
    (void)link_in(client, LINK_CONNECTING, &count);
    while (count < client->waiting_count && client->link_count < CONNS_MAX && link_open(client))
        count++;
    if (client->link_count == 0)
        wheel_set(&client->net->wheel, &client->pause, AGAIN_MS, pause_on_over);
}

/* ---- the front door ---- */

struct ledger_client *
ledger_client_new(struct net *net, const char *path)
{
    struct ledger_client *client = calloc(1, sizeof *client);

    if (client == NULL)
        return NULL;
    client->net = net;
    client->path = path;
    list_init(&client->links);
    list_init(&client->waiting);
    return client;
}

void
ledger_client_end(struct ledger_client **client_ptr)
{
    struct ledger_client *client = *client_ptr;
    struct list *next;

    if (client == NULL)
        return;
    *client_ptr = NULL;
    client->ended = true;
    wheel_cancel(&client->net->wheel, &client->pause);
    while (client->waiting_count > 0) {
        struct ledger_ask *ask = CONTAINER_OF(client->waiting.next, struct ledger_ask, node);

        ask_unqueue(ask);
        ask_free(ask);
    }
    for (struct list *node = client->links.next; node != &client->links; node = next) {
        struct link *link = CONTAINER_OF(node, struct link, node);

        next = node->next;
        if (link->ask != NULL)
            ask_free(link->ask);
        link->ask = NULL;
        link_close(link);
    }
    if (client->link_count == 0)
        free(client);
}

struct ledger_ask *
ledger_client_ask(struct ledger_client *client, const struct ledger_question *question)
{
    struct ledger_ask *ask = client->waiting_count < WAITING_MAX ? calloc(1, sizeof *ask) : NULL;
    struct buf *request = question->request;

    if (ask == NULL || request->failed) {
        free(ask);
        if (request->ptr != NULL)
            explicit_bzero(request->ptr, request->cap);
        buf_free(request);
        return NULL;
    }
    ask->client = client;
    ask->again = question->again;
    ask->answered = question->answered;
    ask->arg = question->arg;
    ask->request = *request;
    buf_init(request, 0);
    wheel_set(&client->net->wheel, &ask->due, question->wait_ms != 0 ? question->wait_ms : LEDGER_WAIT_MS,
              ask_on_due);
    list_init(&ask->node);
    list_push_back(&client->waiting, &ask->node);
    client->waiting_count++;
    pump(client);
    return ask;
}

void
ledger_client_forget(struct ledger_ask **ask_ptr)
{
    struct ledger_ask *ask = *ask_ptr;

    *ask_ptr = NULL;
    if (ask == NULL)
        return;
    ask->answered = NULL;
    if (ask->link != NULL)
        return;
    ask_unqueue(ask);
    ask_free(ask);
}
