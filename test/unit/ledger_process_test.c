/* The ledger process as its master sees it: a child, its lifeline, its signals, its exit statuses. */
#include "test/unit/ledger_world.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct world w; /* for its folder */
static struct region *region;
static struct ledger_inherit inherit;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    assert_int_equal(region_create(w.region_dir, &world_geometry, &region), 0);
    inherit = (struct ledger_inherit){
        .state_dir = w.dir,
        .region = region,
        .wake_fd = eventfd(0, EFD_NONBLOCK),
        .first = true,
        .log_level_max = LOG_LEVEL_ERROR,
    };
    for (unsigned t = 0; t < LEDGER_TABLES_MAX; t++)
        inherit.worker_wake_fd[t] = -1;
    inherit.worker_wake_fd[1] = eventfd(0, EFD_NONBLOCK);
    inherit.control_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", w.dir);
    assert_int_equal(bind(inherit.control_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(inherit.control_fd, 16), 0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    close(inherit.control_fd);
    close(inherit.wake_fd);
    close(inherit.worker_wake_fd[1]);
    region_detach(region);
    region = NULL;
    world_close(&w);
    return 0;
}

/* ---- master and client ---- */

static pid_t
start(int *lifeline)
{
    int ends[2];
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nobody behind */
        close(ends[0]);
        inherit.lifeline_fd = ends[1];
        _exit(ledger_main(&inherit));
    }
    close(ends[1]);
    *lifeline = ends[0];
    return pid;
}

static void
wait_ready(int lifeline)
{
    struct pollfd fd = {.fd = lifeline, .events = POLLIN};
    char byte = 0;

    assert_int_equal(poll(&fd, 1, 20000), 1);
    assert_int_equal(read(lifeline, &byte, 1), 1);
    assert_int_equal(byte, 'R');
}

static int
wait_exit(pid_t pid)
{
    int status = 0;

    for (int patience = 0; patience < 4000; patience++) {
        pid_t got = waitpid(pid, &status, WNOHANG);

        if (got == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        usleep(5000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    fail_msg("it does not end");
    return -1;
}

static int
begin_to_ask(const char *request)
{
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    return fd;
}

/* The answer's line. */
static const char *
hear(int fd)
{
    static char line[65536];
    size_t len = 0;

    while (len + 1 < sizeof(line) && recv(fd, line + len, 1, 0) == 1 && line[len] != '\n')
        len++;
    line[len] = '\0';
    close(fd);
    return line;
}

static const char *
ask(const char *request)
{
    return hear(begin_to_ask(request));
}

/* A worker of this process, with its liveness lock in a child that only holds it. */
static struct hold_table table;

static pid_t
lock_holder(int lifeline, int *pipe_fd)
{
    int ends[2];
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char byte = 'L';

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(lifeline); /* or the ledger would never see its end */
        if (region_lock_table(region, 1) != 0 || write(ends[1], &byte, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    char byte = 0;

    assert_int_equal(read(ends[0], &byte, 1), 1);
    *pipe_fd = ends[0];
    return pid;
}

static uint32_t
hold(int64_t amount_ucr)
{
    struct hold_ask holding = {
        .account_idx = 1, .account_generation = 1, .amount_ucr = amount_ucr,
        .wall_us = clock_wall_us()};
    uint32_t slot = 0;

    assert_int_equal(hold_take(&table, &holding, &slot), HOLD_OK);
    return slot;
}

static void
worker_open(void)
{
    assert_int_equal(region_table_ensure(region, 1), 0);
    region->header->table[1].state = TABLE_LIVE;
    assert_int_equal(hold_table_open(region, 1, &table), 0);
}

static void
ring_if(bool sleeps)
{
    uint64_t one = 1;

    if (sleeps)
        assert_int_equal(write(inherit.wake_fd, &one, sizeof(one)), sizeof(one));
}

static void
wait_committed(uint32_t slot, uint64_t generation, unsigned patience_ms)
{
    for (unsigned ms = 0; !hold_committed(&table, slot, generation); ms++) {
        assert_true(ms < patience_ms);
        usleep(1000);
    }
}

/* ---- the tests ---- */

static void
serves_and_ends(void **state)
{
    int lifeline;
    pid_t pid = start(&lifeline);

    (void)state;
    wait_ready(lifeline);
    assert_non_null(strstr(ask("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"9\"}}\n"),
                           "\"ok\":true"));
    assert_non_null(strstr(ask("{\"cmd\":\"status\"}\n"), "\"ledger\":{\"pid\":"));
    assert_int_equal(region->header->ledger_pid, pid);
    assert_int_equal(region->header->ready_seq, 1);
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), LEDGER_EXIT_CLEAN);
    close(lifeline);
}

static void
killed_and_started_again(void **state)
{
    int lifeline;
    uint32_t slot;
    pid_t pid = start(&lifeline);

    (void)state;
    wait_ready(lifeline);
    (void)ask("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"9\"}}\n");
    worker_open();
    slot = hold(1000000);
    kill(pid, SIGKILL);
    assert_int_equal(wait_exit(pid), -SIGKILL);
    close(lifeline);
    /* Nobody is there: the slot waits. */
    ring_if(hold_settle(&table, slot, 400000));
    inherit.first = false; /* the worker is believed to live, though it holds no lock */
    pid = start(&lifeline);
    wait_ready(lifeline);
    wait_committed(slot, 0, 3000);
    assert_int_equal(account_available_ucr(account_at(region, 1)), 8600000);
    assert_non_null(strstr(ask("{\"cmd\":\"audit\"}\n"), "\"spent\":\"0.4\""));
    /* SIGTERM waits for the worker's end to be said. */
    slot = hold(1000000);
    kill(pid, SIGTERM);
    usleep(100000);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    region->header->table[1].state = TABLE_DEAD;
    assert_int_equal(wait_exit(pid), LEDGER_EXIT_CLEAN);
    assert_int_equal(account_available_ucr(account_at(region, 1)), 8600000);
    assert_int_equal(region->header->table[1].state, TABLE_FREE);
    hold_table_close(&table);
    close(lifeline);
}

/* Relaxed: 50 ms. Otherwise at once, and the worker is woken. */
static void
in_time(void **state)
{
    (void)state;
    for (int mode = LEDGER_RELAXED; mode < LEDGER_DURABILITY_COUNT; mode++) {
        int lifeline;
        pid_t pid;

        inherit.durability = (enum ledger_durability)mode;
        inherit.first = mode == 0;
        pid = start(&lifeline);
        wait_ready(lifeline);
        if (mode == 0) {
            (void)ask("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"9\"}}\n");
            worker_open();
        }
        for (int i = 0; i < 20; i++) {
            uint32_t slot = hold(1000);
            uint64_t generation = hold_generation(&table, slot), count;

            if (mode == LEDGER_RESERVE) {
                ring_if(hold_announce(&table, slot));
                for (unsigned ms = 0; !hold_announced(&table, slot); ms++) {
                    assert_true(ms < 3000);
                    usleep(1000);
                }
            }
            ring_if(hold_settle(&table, slot, 1));
            wait_committed(slot, generation, 3000);
            if (mode != LEDGER_RELAXED) {
                struct pollfd fd = {.fd = inherit.worker_wake_fd[1], .events = POLLIN};

                assert_int_equal(poll(&fd, 1, 3000), 1);
                assert_int_equal(read(fd.fd, &count, sizeof(count)), sizeof(count));
            }
        }
        kill(pid, SIGKILL);
        assert_int_equal(wait_exit(pid), -SIGKILL);
        close(lifeline);
    }
    hold_table_close(&table);
    assert_int_equal(account_available_ucr(account_at(region, 1)), 9000000 - 60);
}

/* The master is gone: it stays while a worker lives, sweeps it when it is dead, and ends. */
static void
master_gone(void **state)
{
    int lifeline, pipe_fd;
    uint32_t slot;
    pid_t pid = start(&lifeline), worker;

    (void)state;
    wait_ready(lifeline);
    (void)ask("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"9\"}}\n");
    worker_open();
    worker = lock_holder(lifeline, &pipe_fd);
    slot = hold(1000000);
    hold_progress(&table, slot, 300000);
    close(lifeline);
    usleep(200000);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    assert_non_null(strstr(ask("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"b\"}}\n"),
                           "\"exit\":75"));
    kill(worker, SIGKILL);
    assert_int_equal(wait_exit(worker), -SIGKILL);
    assert_int_equal(wait_exit(pid), LEDGER_EXIT_CLEAN);
    assert_int_equal(account_available_ucr(account_at(region, 1)), 8700000);
    hold_table_close(&table);
    close(pipe_fd);
}

/* A new master's ledger process comes while the old one still waits for a worker. */
static void
superseded(void **state)
{
    int lifeline, second, pipe_fd;
    pid_t pid = start(&lifeline), next, worker;

    (void)state;
    wait_ready(lifeline);
    (void)ask("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"9\"}}\n");
    worker_open();
    worker = lock_holder(lifeline, &pipe_fd);
    (void)hold(1000000);
    close(lifeline);
    next = start(&second);
    assert_int_equal(wait_exit(pid), LEDGER_EXIT_CLEAN);
    wait_ready(second);
    /* The old master's worker lives: its hold stands. */
    assert_int_equal(account_available_ucr(account_at(region, 1)), 8000000);
    assert_non_null(strstr(ask("{\"cmd\":\"audit\"}\n"), "\"open_holds\":1"));
    kill(worker, SIGKILL);
    assert_int_equal(wait_exit(worker), -SIGKILL);
    region->header->table[1].state = TABLE_DEAD;
    kill(next, SIGTERM);
    assert_int_equal(wait_exit(next), LEDGER_EXIT_CLEAN);
    assert_int_equal(account_available_ucr(account_at(region, 1)), 9000000);
    hold_table_close(&table);
    close(pipe_fd);
    close(second);
}

/* ---- reload ---- */

static char conf_path[512];

static struct conf *
write_conf(const char *channel, const char *price)
{
    struct conf_faults faults;
    struct conf *conf;
    FILE *file = fopen(conf_path, "w");

    assert_non_null(file);
    fprintf(file,
            "upstream \"u\" { protocol = openai  url = \"https://u.example\" }\n"
            "model \"m\" { input = %s  output = 2 }\n"
            "channel \"%s\" { use = {u} }\n",
            price, channel);
    fclose(file);
    conf = conf_load(conf_path, &faults);
    conf_faults_free(&faults);
    assert_non_null(conf);
    return conf;
}

static struct ledger_word
word_about(enum ledger_word_kind kind, uint32_t generation, const struct conf *conf)
{
    return (struct ledger_word){.kind = (uint32_t)kind, .generation = generation,
                                .text_hash = conf->text_hash,
                                .price_version = conf->price_version};
}

static void
tell(int lifeline, struct ledger_word word)
{
    assert_int_equal(send(lifeline, &word, sizeof(word), 0), sizeof(word));
}

static void
expect(int lifeline, enum ledger_word_kind kind, uint32_t generation)
{
    struct pollfd fd = {.fd = lifeline, .events = POLLIN};
    struct ledger_word word;

    assert_int_equal(poll(&fd, 1, 20000), 1);
    assert_int_equal(recv(lifeline, &word, sizeof(word), 0), sizeof(word));
    assert_int_equal(word.kind, kind);
    assert_int_equal(word.generation, generation);
}

static bool
channel_known(const char *channel)
{
    char request[256];

    snprintf(request, sizeof(request),
             "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"a\",\"channels\":[\"%s\"]}}\n", channel);
    return strstr(ask(request), "\"ok\":true") != NULL;
}

/* What is read is kept, and in force only once the master says so. Another text is not kept. */
static void
takes_a_configuration(void **state)
{
    struct conf *one, *two, *three;
    int lifeline;
    pid_t pid;

    (void)state;
    snprintf(conf_path, sizeof(conf_path), "%s/routes.conf", w.dir);
    one = write_conf("one", "1");
    inherit.conf = one;
    inherit.conf_path = conf_path;
    pid = start(&lifeline);
    wait_ready(lifeline);
    (void)ask("{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"9\"}}\n");
    assert_true(channel_known("one") && !channel_known("two"));

    two = write_conf("two", "3");
    tell(lifeline, word_about(LEDGER_KEEP, 2, two));
    expect(lifeline, LEDGER_KEPT, 2);
    assert_true(channel_known("one") && !channel_known("two"));
    tell(lifeline, word_about(LEDGER_DROP, 2, two));
    tell(lifeline, word_about(LEDGER_TAKE, 2, two)); /* of nothing */
    assert_true(channel_known("one") && !channel_known("two"));
    tell(lifeline, word_about(LEDGER_KEEP, 3, two));
    expect(lifeline, LEDGER_KEPT, 3);
    tell(lifeline, word_about(LEDGER_TAKE, 3, two));
    for (int i = 0; !channel_known("two"); i++) /* nothing says that it is done */
        assert_true(i < 1000);
    assert_false(channel_known("one"));

    three = write_conf("three", "3");
    tell(lifeline, word_about(LEDGER_KEEP, 4, two));
    expect(lifeline, LEDGER_NOT_KEPT, 4);
    assert_int_equal(unlink(conf_path), 0);
    tell(lifeline, word_about(LEDGER_KEEP, 5, three));
    expect(lifeline, LEDGER_NOT_KEPT, 5);
    assert_true(channel_known("two") && !channel_known("three"));
    kill(pid, SIGTERM);
    assert_int_equal(wait_exit(pid), LEDGER_EXIT_CLEAN);
    close(lifeline);
    conf_free(&one);
    conf_free(&two);
    conf_free(&three);
    inherit.conf = NULL;
    inherit.conf_path = NULL;
}

static void
say_with(int lifeline, const char *json)
{
    struct ledger_word word = {.kind = LEDGER_SAID};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room = {{0}};
    struct iovec part = {&word, sizeof(word)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = room.bytes, .msg_controllen = sizeof(room.bytes)};
    struct cmsghdr *with = CMSG_FIRSTHDR(&message);
    int fd = memfd_create("answer", MFD_CLOEXEC);

    assert_int_equal(write(fd, json, strlen(json)), strlen(json));
    with->cmsg_level = SOL_SOCKET;
    with->cmsg_type = SCM_RIGHTS;
    with->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(with), &fd, sizeof(fd));
    assert_int_equal(sendmsg(lifeline, &message, 0), sizeof(word));
    close(fd);
}

/* Who asks for a reload waits for the master's answer, and one at a time. */
static void
carries_a_question(void **state)
{
    static const char *const unfit[] = {"", "[1]", "{\"ok\":", "no"};
    int lifeline, fd;
    pid_t pid = start(&lifeline);

    (void)state;
    wait_ready(lifeline);
    fd = begin_to_ask("{\"cmd\":\"reload\"}\n");
    expect(lifeline, LEDGER_ASKS, 0);
    assert_non_null(strstr(ask("{\"cmd\":\"reload\"}\n"), "\"exit\":75"));
    assert_non_null(strstr(ask("{\"cmd\":\"status\"}\n"), "\"ok\":true"));
    say_with(lifeline, "{\"ok\":false,\"exit\":78,\"faults\":[{\"line\":3}]}");
    assert_string_equal(hear(fd), "{\"ok\":true,\"result\":{\"ok\":false,\"exit\":78,\"faults\":"
                                  "[{\"line\":3}]}}");
    for (size_t i = 0; i < COUNT_OF(unfit); i++) {
        fd = begin_to_ask("{\"cmd\":\"reload\"}\n");
        expect(lifeline, LEDGER_ASKS, 0);
        say_with(lifeline, unfit[i]);
        assert_non_null(strstr(hear(fd), "\"exit\":75"));
    }
    fd = begin_to_ask("{\"cmd\":\"reload\"}\n"); /* the master dies over it */
    expect(lifeline, LEDGER_ASKS, 0);
    close(lifeline);
    assert_non_null(strstr(hear(fd), "\"exit\":75"));
    assert_int_equal(wait_exit(pid), LEDGER_EXIT_CLEAN);
}

static void
foreign(void **state)
{
    int lifeline;
    pid_t pid;

    (void)state;
    memset(region->header->instance_id, 7, sizeof(region->header->instance_id));
    pid = start(&lifeline);
    assert_int_equal(wait_exit(pid), LEDGER_EXIT_FOREIGN);
    close(lifeline);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(serves_and_ends), TEST(killed_and_started_again), TEST(in_time),
        TEST(master_gone),     TEST(superseded),               TEST(foreign),
        TEST(takes_a_configuration), TEST(carries_a_question),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
