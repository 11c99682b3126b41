/* The control socket: whole requests, slow ones, broken ones, several at once; nobody holds up another. */
#include "test/unit/ledger_world.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ledger/control.h"

static struct world w;
static struct control *control;
static int listen_fd;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", w.dir);
    listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listen_fd, 64), 0);
    assert_int_equal(control_start(w.ledger, listen_fd, &control), 0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    control_stop(&control);
    close(listen_fd);
    world_close(&w);
    return 0;
}

static int
join(void)
{
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return fd;
}

static void
tell(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Works on the main thread until fd has a line, or its end (""). */
static const char *
hear(int fd)
{
    static char line[1 << 20];
    size_t len = 0;

    for (int patience = 0; patience < 5000; patience++) {
        struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
                               {.fd = control_fd(control), .events = POLLIN}};

        assert_true(poll(fds, 2, 10) >= 0);
        assert_int_equal(control_work(control), 0);
        while (fds[0].revents != 0 && len + 1 < sizeof(line)) {
            ssize_t n = recv(fd, line + len, 1, MSG_DONTWAIT);

            if (n < 0)
                break;
            if (n == 0 || line[len] == '\n') {
                line[len] = '\0';
                return line;
            }
            len++;
        }
    }
    fail_msg("nothing heard");
    return "";
}

static void
one_request(void **state)
{
    int fd = join();

    (void)state;
    tell(fd, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"5\"}}\n");
    assert_non_null(strstr(hear(fd), "\"ok\":true"));
    tell(fd, "{\"cmd\":\"tenant.list\"}\n");
    assert_non_null(strstr(hear(fd), "\"name\":\"a\""));
    tell(fd, "{\"cmd\":\"audit\"}\n");
    assert_non_null(strstr(hear(fd), "\"deposited\":\"5\""));
    tell(fd, "{\"cmd\":\"status\"}\n");
    assert_non_null(strstr(hear(fd), "\"workers\":[]"));
    tell(fd, "{\"cmd\":\"call.show\",\"args\":{\"id\":\"call_00000000000000000000000000\"}}\n");
    assert_non_null(strstr(hear(fd), "there is no call"));
    close(fd);
}

static void
several_in_one_write(void **state)
{
    int fd = join();

    (void)state;
    tell(fd, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\"}}\n{\"cmd\":\"tenant.add\",\"args\":"
             "{\"name\":\"b\"}}\n{\"cmd\":\"tenant.list\"}\n");
    assert_non_null(strstr(hear(fd), "\"id\":1"));
    assert_non_null(strstr(hear(fd), "\"id\":2"));
    assert_non_null(strstr(hear(fd), "\"name\":\"b\""));
    close(fd);
}

static void
byte_by_byte(void **state)
{
    static const char text[] = "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"slow\"}}\n";
    int slow = join();

    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        int other = join();

        tell(slow, (char[]){text[i], '\0'});
        tell(other, "{\"cmd\":\"status\"}\n"); /* is not held up */
        assert_non_null(strstr(hear(other), "\"ok\":true"));
        close(other);
    }
    assert_non_null(strstr(hear(slow), "\"name\":\"slow\""));
    close(slow);
}

static void
broken_requests(void **state)
{
    int fd = join();
    char *long_line = malloc(COMMAND_REQUEST_BYTES_MAX + 100000);

    (void)state;
    tell(fd, "nonsense\n");
    assert_non_null(strstr(hear(fd), "\"exit\":2"));
    tell(fd, "\n");
    assert_non_null(strstr(hear(fd), "\"exit\":2"));
    tell(fd, "{\"cmd\":\"status\"}\n"); /* the line is as good as new */
    assert_non_null(strstr(hear(fd), "\"ok\":true"));
    close(fd);

    fd = join();
    memset(long_line, 'x', COMMAND_REQUEST_BYTES_MAX + 100000);
    (void)!send(fd, long_line, COMMAND_REQUEST_BYTES_MAX + 100000, MSG_NOSIGNAL);
    assert_non_null(strstr(hear(fd), "too long"));
    close(fd);
    free(long_line);

    fd = join();
    tell(fd, "{\"cmd\":\"tenant.add\",");
    close(fd);
    fd = join();
    tell(fd, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"gone\"}}\n");
    close(fd); /* before the answer */
    fd = join();
    tell(fd, "{\"cmd\":\"tenant.list\"}\n");
    (void)hear(fd);
    close(fd);
}

/* One that never reads its long answers does not keep others from theirs. */
static void
deaf_client(void **state)
{
    int deaf = join(), fd = join();

    (void)state;
    for (int i = 0; i < 150; i++) {
        char request[128];

        snprintf(request, sizeof(request),
                 "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"tenant-number-%d\"}}\n", i);
        tell(fd, request);
        assert_non_null(strstr(hear(fd), "\"ok\":true"));
    }
    for (int i = 0; i < 200; i++)
        (void)!send(deaf, "{\"cmd\":\"tenant.list\"}\n", 22, MSG_NOSIGNAL | MSG_DONTWAIT);
    for (int i = 0; i < 50; i++) {
        tell(fd, "{\"cmd\":\"tenant.show\",\"args\":{\"tenant\":\"1\"}}\n");
        assert_non_null(strstr(hear(fd), "\"ok\":true"));
    }
    close(deaf);
    close(fd);
}

static void
many_at_once(void **state)
{
    int fds[200];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(fds); i++) {
        char request[128];

        fds[i] = join();
        snprintf(request, sizeof(request), "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"t%u\"}}\n",
                 i);
        tell(fds[i], request);
    }
    for (unsigned i = 0; i < COUNT_OF(fds); i++) {
        char want[32];

        snprintf(want, sizeof(want), "\"name\":\"t%u\"", i);
        assert_non_null(strstr(hear(fds[i]), want));
        close(fds[i]);
    }
}

/* ---- descriptors ---- */

static void
tell_with(int fd, const char *text, const int *passed, unsigned count)
{
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } room = {{0}};
    struct iovec part = {(void *)(uintptr_t)text, strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room.bytes,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *with = CMSG_FIRSTHDR(&message);

    with->cmsg_level = SOL_SOCKET;
    with->cmsg_type = SCM_RIGHTS;
    with->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(with), passed, count * sizeof(int));
    assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), strlen(text));
}

/* Each is used or closed: the reader of its pipe hears the end. */
static void
descriptors_are_not_kept(void **state)
{
    int fd = join(), first[2], second[2];
    char byte;

    (void)state;
    assert_int_equal(pipe(first), 0);
    assert_int_equal(pipe(second), 0);
    tell_with(fd, "{\"cmd\":\"tenant.list\"}\n", (int[]){first[1], second[1]}, 2);
    close(first[1]);
    close(second[1]);
    assert_non_null(strstr(hear(fd), "\"tenants\":[]"));
    assert_int_equal(read(first[0], &byte, 1), 0);
    assert_int_equal(read(second[0], &byte, 1), 0);
    close(first[0]);
    close(second[0]);

    assert_int_equal(pipe(first), 0);
    tell_with(fd, "{\"cmd\":", &first[1], 1); /* and goes before the request is whole */
    close(first[1]);
    close(fd);
    assert_int_equal(read(first[0], &byte, 1), 0);
    close(first[0]);
    fd = join();
    tell(fd, "{\"cmd\":\"backup\"}\n");
    assert_non_null(strstr(hear(fd), "no descriptor came"));
    close(fd);
}

static void
wait_for_bytes(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    for (int patience = 0; poll(&pfd, 1, 10) == 0; patience++) {
        assert_true(patience < 1000);
        assert_int_equal(control_work(control), 0);
    }
}

/* One that is apart holds up nobody, is alone, and ends when its asker goes, or we stop. */
static void
one_apart(void **state)
{
    char reason[400], request[600];
    int fd = join(), stuck[2], file = memfd_create("backup", MFD_CLOEXEC);

    (void)state;
    memset(reason, 'x', sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = '\0';
    tell(fd, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\"}}\n");
    (void)hear(fd);
    snprintf(request, sizeof(request),
             "{\"cmd\":\"credit.grant\",\"args\":{\"tenant\":\"a\",\"amount\":\"1\",\"reason\":\"%s\"}}\n",
             reason);
    for (int i = 0; i < 250; i++) {
        tell(fd, request);
        assert_non_null(strstr(hear(fd), "\"ok\":true"));
    }
    for (int round = 0; round < 2; round++) {
        int asker = join();

        assert_int_equal(pipe(stuck), 0);
        tell_with(asker, "{\"cmd\":\"backup\"}\n", &stuck[1], 1);
        close(stuck[1]);
        wait_for_bytes(stuck[0]);
        tell_with(fd, "{\"cmd\":\"backup\"}\n", &file, 1);
        assert_non_null(strstr(hear(fd), "another one is under way"));
        tell(fd, request);
        assert_non_null(strstr(hear(fd), "\"ok\":true"));
        if (round == 0) {
            close(asker);
            while (read(stuck[0], request, sizeof(request) / 2) > 0)
                ;
            snprintf(request, sizeof(request), "{\"cmd\":\"tenant.list\"}\n");
        } else {
            control_stop(&control);
            close(asker);
            assert_int_equal(control_start(w.ledger, listen_fd, &control), 0);
        }
        close(stuck[0]);
    }
    close(fd);
    fd = join();
    tell_with(fd, "{\"cmd\":\"backup\"}\n", &file, 1);
    assert_non_null(strstr(hear(fd), "\"tenants\":1"));
    close(fd);
    close(file);
}

/* What waits when the process ends is answered or cut, never left hanging. */
static void
stop_with_work_left(void **state)
{
    int fd = join(), idle = join();

    (void)state;
    tell(fd, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\"}}\n");
    usleep(20000);
    control_stop(&control);
    char byte;

    while (recv(fd, &byte, 1, 0) > 0)
        ;
    assert_int_equal(recv(idle, &byte, 1, 0), 0);
    close(fd);
    close(idle);
    assert_int_equal(control_start(w.ledger, listen_fd, &control), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_request),  TEST(several_in_one_write), TEST(byte_by_byte), TEST(broken_requests),
        TEST(deaf_client), TEST(many_at_once),         TEST(stop_with_work_left),
        TEST(descriptors_are_not_kept), TEST(one_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
