/* link: -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=strdup */
/*
 * Memory that cannot be had: the n-th allocation of ours fails, for n = 1, 2, … until a whole
 * visit (loop, listener, dial, TLS, data under backpressure, end) gets through. Each time it must
 * end in a refusal or an error, with nothing left over; the leak checker sees the rest.
 */
#include "net_tools.h"

#include "net/dns.h"
#include "net/tls.h"
#include "test/unit/failing_memory.h"

static void
lookup(const char *name, struct dns_answer *answer)
{
    (void)name;
    answer->count = 1;
    answer->addrs[0] = (struct net_addr){.ip = {127, 0, 0, 1}, .family = 4};
}

/* A self-signed identity that is its own CA. */
static char dir[64], pem[4096], key[4096], ca_path[128];

static void
read_text(const char *name, char *out, size_t cap)
{
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "r");
    assert_non_null(file);
    out[fread(out, 1, cap - 1, file)] = '\0';
    (void)fclose(file);
}

static int
make_identity(void **state)
{
    char command[600];

    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/net_alloc_test.XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(command, sizeof(command),
                   "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                   "-keyout key.pem -out crt.pem -days 2 -subj /CN=a.test "
                   "-addext subjectAltName=DNS:a.test 2>/dev/null",
                   dir);
    assert_int_equal(system(command), 0);
    read_text("crt.pem", pem, sizeof(pem));
    read_text("key.pem", key, sizeof(key));
    (void)snprintf(ca_path, sizeof(ca_path), "%s/crt.pem", dir);
    return 0;
}

static int
remove_identity(void **state)
{
    char command[200];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static char payload[3u << 20];

static void
talk(struct net *net, struct side *in, struct side *out)
{
    struct str part = {payload, sizeof(payload)};
    uint64_t deadline_us = clock_mono_us() + WAIT_MS * 1000u;
    bool asked = false;

    while (out->closed == 0) {
        assert_true(clock_mono_us() < deadline_us);
        if (out->opened == 1 && !asked) {
            asked = true;
            if (conn_write(&out->conn, &part, 1) < 0)
                conn_close(&out->conn);
        }
        if (out->got_bytes >= sizeof(payload) || in->errors > 0 || in->closed > 0 || out->eofs > 0)
            conn_close(&out->conn);
        (void)uv_run(&net->loop, UV_RUN_NOWAIT);
    }
    if (in->conn.state == CONN_UNUSED)
        return;
    conn_close(&in->conn);
    RUN_UNTIL(net, in->closed == 1);
}

/* True when the whole visit went well. */
static bool
visit(struct tls_server *server, struct tls_client *client)
{
    struct net_options options = {.accepted_max = 0};
    struct dial_target target = {
        .host = STR("a.test"), .local = true, .tls = client, .connect_ms = 20000};
    struct net net;
    struct door door;
    struct side in, out;
    bool ok;

    side_init(&in);
    side_init(&out);
    in.keep = out.keep = false;
    in.echo = in.stop_when_full = true;
    if (net_init(&net, &options) < 0)
        return false;
    net.options.handshake_ms = 20000;
    dns_set_lookup(&net, lookup);
    door_open(&net, &door, &in, 1, server);
    target.port = door.port;
    if (net_dial(&net, &out.conn, &side_events, &target) == 0)
        talk(&net, &in, &out);
    ok = out.got_bytes >= sizeof(payload);
    listener_stop(&door.listener);
    while (door.closed == 0)
        (void)uv_run(&net.loop, UV_RUN_NOWAIT);
    net_end(&net);
    return ok;
}

static bool
visit_all(void)
{
    struct tls_identity identity = {{pem, strlen(pem)}, {key, strlen(key)}};
    static const uint8_t secret[TLS_TICKET_SECRET_LEN] = {1};
    struct tls_server_options server_options = {
        .identities = &identity, .identity_count = 1, .ticket_secret = secret};
    struct tls_client_options client_options = {.ca_file = ca_path};
    char err[TLS_ERROR_TEXT] = "";
    struct tls_server *server = tls_server_new(&server_options, err);
    struct tls_client *client = tls_client_new(&client_options);
    bool ok = server != NULL && client != NULL;

    assert_true(server != NULL || strlen(err) > 0);
    ok = ok && visit(server, client);
    ok = ok && visit(server, client); /* resumes */
    ok = ok && visit(NULL, NULL);
    tls_server_free(server);
    tls_client_free(client);
    return ok;
}

static void
nth_allocation_fails(void **state)
{
    int n = 1, errors = 0;

    (void)state;
    atomic_store(&fail_in, 0);
    assert_true(visit_all());
    for (;; n++) {
        bool ok;

        atomic_store(&fail_in, n);
        ok = visit_all();
        if (atomic_load(&fail_in) > 0) {
            assert_true(ok);
            break;
        }
        errors += !ok;
    }
    atomic_store(&fail_in, 0);
    print_message("%d allocations, %d of them fatal to a visit\n", n - 1, errors);
    assert_true(n > 20);
    assert_true(errors > 10);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nth_allocation_fails),
    };

    return cmocka_run_group_tests(tests, make_identity, remove_identity);
}
