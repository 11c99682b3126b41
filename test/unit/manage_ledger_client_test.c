/* Asking the ledger: against one that is played here, on a thread of its own. */
#include "testing.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"
#include "manage/ledger_client.h"

/* ---- the other side ---- */

/* What it does with the question that comes: answers, or breaks off. */
struct act {
    const char *answer; /* NULL: closes the connection */
};

struct played {
    char path[64];
    int listen_fd;
    const struct act *acts;
    unsigned act_count, asked;
    char last[4096];
    pthread_t thread;
};

static void *
play(void *arg)
{
    struct played *p = arg;
    int fd = -1;

    for (unsigned i = 0; i < p->act_count; i++) {
        size_t len = 0;

        if (fd < 0)
            fd = accept(p->listen_fd, NULL, NULL);
        while (len == 0 || p->last[len - 1] != '\n') {
            ssize_t n = read(fd, p->last + len, sizeof p->last - 1 - len);

            if (n <= 0)
                return NULL;
            len += (size_t)n;
        }
        p->last[len] = '\0';
        p->asked++;
        if (p->acts[i].answer != NULL) {
            if (write(fd, p->acts[i].answer, strlen(p->acts[i].answer)) < 0)
                return NULL;
        } else {
            close(fd);
            fd = -1;
        }
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

static void
played_start(struct played *p, const struct act *acts, unsigned count)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    memset(p, 0, sizeof *p);
    snprintf(p->path, sizeof p->path, "/tmp/ledger-client-%d", (int)getpid());
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", p->path);
    unlink(p->path);
    p->acts = acts;
    p->act_count = count;
    p->listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(p->listen_fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(p->listen_fd, 8), 0);
    assert_int_equal(pthread_create(&p->thread, NULL, play, p), 0);
}

static void
played_end(struct played *p)
{
    pthread_join(p->thread, NULL);
    close(p->listen_fd);
    unlink(p->path);
}

/* ---- this side ---- */

struct asker {
    struct net net;
    struct ledger_client *client;
    unsigned wanted, answered;
    enum ledger_said said;
    char code[32], field[32], result[64];
    int status;
    bool absent;
};

static void
on_answered(void *arg, const struct ledger_answer *answer)
{
    struct asker *a = arg;

    a->said = answer->said;
    a->status = answer->status;
    a->absent = answer->absent;
    str_copy(answer->code, a->code, sizeof a->code);
    str_copy(answer->field, a->field, sizeof a->field);
    str_copy(answer->result.raw, a->result, sizeof a->result);
    if (++a->answered == a->wanted)
        net_stop(&a->net);
}

static void
asker_start(struct asker *a, const char *path)
{
    memset(a, 0, sizeof *a);
    assert_int_equal(net_init(&a->net, &(struct net_options){0}), 0);
    a->client = ledger_client_new(&a->net, path);
    assert_non_null(a->client);
}

static void
asker_end(struct asker *a)
{
    ledger_client_end(&a->client);
    net_end(&a->net);
}

static struct ledger_ask *
ask(struct asker *a, bool again, unsigned wait_ms)
{
    struct buf line;
    struct ledger_question question = {.request = &line, .again = again, .wait_ms = wait_ms,
                                       .answered = on_answered, .arg = a};

    buf_init(&line, 4096);
    buf_add_str(&line, STR("{\"cmd\":\"x\"}\n"));
    return ledger_client_ask(a->client, &question);
}

static void
ask_and_wait(struct asker *a, bool again, unsigned wait_ms)
{
    a->wanted = a->answered + 1;
    assert_non_null(ask(a, again, wait_ms));
    net_run(&a->net);
    assert_int_equal(a->answered, a->wanted);
}

#define DONE "{\"ok\":true,\"result\":{\"n\":1}}\n"

static void
answers_on_a_kept_connection(void **state)
{
    static const struct act acts[] = {
        {DONE},
        {"{\"ok\":false,\"exit\":1,\"error\":\"x\",\"why\":\"so\",\"hint\":null,\"code\":\"taken\",\"field\":\"name\"}\n"},
        {"{\"ok\":false,\"exit\":1,\"error\":\"x\",\"why\":\"so\",\"hint\":null,\"absent\":true}\n"},
    };
    struct played p;
    struct asker a;

    (void)state;
    played_start(&p, acts, 3);
    asker_start(&a, p.path);
    ask_and_wait(&a, false, 0);
    assert_int_equal(a.said, LEDGER_DONE);
    assert_string_equal(a.result, "{\"n\":1}");
    assert_string_equal(p.last, "{\"cmd\":\"x\"}\n");
    ask_and_wait(&a, false, 0);
    assert_int_equal(a.said, LEDGER_REFUSED);
    assert_int_equal(a.status, 1);
    assert_false(a.absent);
    assert_string_equal(a.code, "taken");
    assert_string_equal(a.field, "name");
    ask_and_wait(&a, false, 0);
    assert_true(a.absent);
    played_end(&p);
    assert_int_equal(p.asked, 3);
    asker_end(&a);
}

/* A question that may be asked twice is, when the connection breaks; another's outcome nobody knows. */
static void
what_breaks_off(void **state)
{
    static const struct act acts[] = {{NULL}, {DONE}, {NULL}, {"nonsense\n"}};
    struct played p;
    struct asker a;

    (void)state;
    played_start(&p, acts, 4);
    asker_start(&a, p.path);
    ask_and_wait(&a, true, 0);
    assert_int_equal(a.said, LEDGER_DONE);
    ask_and_wait(&a, false, 0);
    assert_int_equal(a.said, LEDGER_UNKNOWN);
    ask_and_wait(&a, false, 0);
    assert_int_equal(a.said, LEDGER_UNKNOWN);
    played_end(&p);
    assert_int_equal(p.asked, 4);
    asker_end(&a);
}

static void
nobody_is_there(void **state)
{
    struct asker a;

    (void)state;
    asker_start(&a, "/tmp/no-such-socket-of-a-ledger");
    ask_and_wait(&a, true, 120);
    assert_int_equal(a.said, LEDGER_AWAY);
    ask_and_wait(&a, false, 120); /* not a byte was sent: nothing was done */
    assert_int_equal(a.said, LEDGER_AWAY);
    asker_end(&a);
}

/* So many wait and no more; who forgets is not told, and what waits at the end is given back. */
static void
bounded_and_forgotten(void **state)
{
    struct ledger_ask *first, *more;
    struct asker a;
    unsigned count = 1;

    (void)state;
    asker_start(&a, "/tmp/no-such-socket-of-a-ledger");
    first = ask(&a, true, 60000);
    assert_non_null(first);
    while ((more = ask(&a, true, 60000)) != NULL)
        count++;
    assert_int_equal(count, 1024);
    ledger_client_forget(&first);
    assert_null(first);
    assert_non_null(ask(&a, true, 60000));
    asker_end(&a);
    assert_int_equal(a.answered, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_on_a_kept_connection),
        cmocka_unit_test(what_breaks_off),
        cmocka_unit_test(nobody_is_there),
        cmocka_unit_test(bounded_and_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
