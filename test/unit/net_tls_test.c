/*
 * TLS on real sockets: echo, names, certificates that must be refused, sessions that must be
 * resumed, and connections that end in the middle of a handshake. Certificates are made by
 * the openssl command in a temporary directory.
 */
#include "net_tools.h"

#include "base/rng.h"
#include "net/dns.h"
#include "base/str.h"
#include "net/tls.h"

#include <signal.h>
#include <sys/wait.h>

static struct net net;
static char dir[64];
static const uint8_t secret[TLS_TICKET_SECRET_LEN] = {1, 2, 3};

/* ---- certificates ------------------------------------------------------------------------- */

static void
shell(const char *fmt, ...)
{
    char command[2000];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    if (system(command) != 0)
        fail_msg("command failed: %s", command);
}

static void
make_ca(const char *name)
{
    shell("cd %s && printf '[req]\\ndistinguished_name=dn\\nx509_extensions=v3\\nprompt=no\\n"
          "[dn]\\nCN=%s\\n[v3]\\nbasicConstraints=critical,CA:TRUE\\n' >%s.cnf && "
          "openssl req -x509 -config %s.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
          "-keyout %s.key -out %s.pem -days 2 2>/dev/null",
          dir, name, name, name, name, name);
}

static void
make_leaf(const char *name, const char *key, const char *alt_names)
{
    shell("cd %s && openssl req -new -newkey %s -nodes -keyout %s.key -out %s.csr -subj /CN=%s "
          "2>/dev/null && printf 'subjectAltName=%s\\n' >%s.ext && "
          "openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
          "-extfile %s.ext -out %s.pem 2>/dev/null",
          dir, key, name, name, name, alt_names, name, name, name, name);
}

#define KEY_EC "ec -pkeyopt ec_paramgen_curve:P-256"

static int
make_all(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/net_tls_test.XXXXXX");
    assert_non_null(mkdtemp(dir));
    make_ca("ca");
    make_ca("other");
    make_leaf("first", KEY_EC, "DNS:a.test,DNS:localhost,IP:127.0.0.1,IP:::1");
    make_leaf("wild", "rsa:2048", "DNS:*.wild.test");
    make_leaf("exact", KEY_EC, "DNS:x.wild.test,DNS:y.test");
    return 0;
}

static int
remove_all(void **state)
{
    (void)state;
    shell("rm -rf %s", dir);
    return 0;
}

static char *
file_read(const char *name, const char *ext)
{
    static char texts[16][8192];
    static unsigned turn;
    char *text = texts[turn++ % 16];
    char path[200];
    FILE *file;
    size_t len;

    (void)snprintf(path, sizeof(path), "%s/%s.%s", dir, name, ext);
    file = fopen(path, "r");
    assert_non_null(file);
    len = fread(text, 1, sizeof(texts[0]) - 1, file);
    text[len] = '\0';
    (void)fclose(file);
    return text;
}

static struct tls_identity
identity(const char *name)
{
    char *chain = file_read(name, "pem");
    char *key = file_read(name, "key");

    return (struct tls_identity){{chain, strlen(chain)}, {key, strlen(key)}};
}

static struct tls_server *
server_make(const uint8_t *ticket_secret)
{
    struct tls_identity all[] = {identity("first"), identity("wild"), identity("exact")};
    struct tls_server_options options = {
        .identities = all, .identity_count = 3, .ticket_secret = ticket_secret};
    char err[TLS_ERROR_TEXT];
    struct tls_server *server = tls_server_new(&options, err);

    if (server == NULL)
        fail_msg("%s", err);
    return server;
}

static struct tls_client *
client_make(const char *ca)
{
    char path[200];
    struct tls_client_options options = {.ca_file = path};
    struct tls_client *client;

    (void)snprintf(path, sizeof(path), "%s/%s.pem", dir, ca);
    client = tls_client_new(&options);
    assert_non_null(client);
    return client;
}

/* ---- one server, one client --------------------------------------------------------------- */

static struct tls_server *server;
static struct tls_client *client;

static void
all_names_are_here(const char *name, struct dns_answer *answer)
{
    (void)name;
    answer->count = 1;
    answer->addrs[0] = (struct net_addr){.ip = {127, 0, 0, 1}, .family = 4};
}

static int
setup(void **state)
{
    (void)state;
    tools_net(&net);
    dns_set_lookup(&net, all_names_are_here);
    server = server_make(secret);
    client = client_make("ca");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    assert_int_equal(net.counts.conns_open, 0);
    assert_int_equal(net.handshakes_open, 0);
    net_end(&net);
    tls_server_free(server);
    tls_client_free(client);
    return 0;
}

struct pair {
    struct door door;
    struct side in, out;
};

static void
pair_start(struct pair *pair, struct tls_server *with_server, struct tls_client *with_client,
           const char *host)
{
    side_init(&pair->in);
    side_init(&pair->out);
    door_open(&net, &pair->door, &pair->in, 1, with_server);
    side_dial(&net, &pair->out, pair->door.port, with_client, host);
}

static void
pair_open(struct pair *pair)
{
    pair_start(pair, server, client, "a.test");
    RUN_UNTIL(&net, (pair->in.opened == 1 && pair->out.opened == 1) || pair->out.errors == 1);
    if (pair->out.errors != 0)
        fail_msg("%s: %s", conn_stage_name[pair->out.stage], pair->out.text);
}

static void
pair_end(struct pair *pair)
{
    if (pair->in.conn.state != CONN_UNUSED) {
        conn_close(&pair->in.conn);
        RUN_UNTIL(&net, pair->in.closed == 1);
    }
    conn_close(&pair->out.conn);
    RUN_UNTIL(&net, pair->out.closed == 1);
    door_close(&net, &pair->door);
    side_free(&pair->in);
    side_free(&pair->out);
}

static void
echo(void **state)
{
    struct pair p;
    struct str parts[] = {STR("one "), STR(""), STR("two "), STR("three")};

    (void)state;
    print_message("%s, %s first\n", tls_version_max(), tls_cipher_preferred());
    pair_open(&p);
    p.in.echo = true;
    assert_true(conn_is_tls(&p.in.conn));
    for (unsigned i = 0; i < 100; i++) {
        p.out.got.len = 0;
        assert_int_equal(conn_write(&p.out.conn, parts, COUNT_OF(parts)), 0);
        RUN_UNTIL(&net, p.out.got.len == 13);
        assert_memory_equal(p.out.got.ptr, "one two three", 13);
    }
    conn_idle(&p.in.conn);
    /* One write is one record. */
    assert_int_equal(p.out.data_len_max, 13);
    /* Ends properly both ways. */
    p.in.shutdown_on_eof = true;
    conn_shutdown(&p.out.conn);
    RUN_UNTIL(&net, p.in.closed == 1 && p.out.closed == 1);
    assert_int_equal(p.in.eofs, 1);
    assert_true(conn_eof_clean(&p.in.conn));
    pair_end(&p);
}

static void
end_without_notice_is_unclean(void **state)
{
    struct pair p;

    (void)state;
    pair_open(&p);
    conn_close(&p.out.conn);
    RUN_UNTIL(&net, p.in.eofs == 1);
    assert_false(conn_eof_clean(&p.in.conn));
    pair_end(&p);
}

/* Random pieces both ways, slow on one side; every byte right, memory bounded. */
static void
big_echo_under_backpressure(void **state)
{
    enum { TOTAL = 12u << 20 };
    struct pair p;
    static char bytes[TOTAL];
    const char *text = getenv("TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : rng_u64();
    uint64_t rng = seed;
    size_t sent = 0;
    uint64_t turns = 0;

    (void)state;
    print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
    tools_fill(bytes, sizeof(bytes), 5);
    pair_open(&p);
    p.in.echo = p.in.stop_when_full = true;
    p.in.keep = false;
    while (p.out.got.len < TOTAL) {
        struct str parts[4];
        size_t at = sent;

        for (unsigned i = 0; i < 4; i++) {
            size_t len = rng_next(&rng) % (rng_next(&rng) % 4 == 0 ? 70000 : 900);

            len = MIN(len, TOTAL - at);
            parts[i] = (struct str){bytes + at, len};
            at += len;
        }
        if (!conn_is_full(&p.out.conn)) {
            assert_int_equal(conn_write(&p.out.conn, parts, 4), 0);
            sent = at;
        }
        if (++turns % 64 == 0)
            conn_read_stop(&p.out.conn);
        if (turns % 64 == 32)
            conn_read_start(&p.out.conn);
        if (turns % 100 == 0)
            conn_idle(&p.out.conn), conn_idle(&p.in.conn);
        (void)uv_run(&net.loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(p.out.got.len, TOTAL);
    assert_memory_equal(p.out.got.ptr, bytes, TOTAL);
    assert_true(p.in.pending_max <= CONN_PENDING_HIGH + NET_READ_BYTES + 4096);
    pair_end(&p);
}

/* ---- names and certificates --------------------------------------------------------------- */

static bool
verifies(struct tls_server *with_server, struct tls_client *with_client, const char *host,
         char *text)
{
    struct pair p;
    bool ok;

    pair_start(&p, with_server, with_client, host);
    RUN_UNTIL(&net, p.out.opened == 1 || p.out.errors == 1);
    ok = p.out.opened == 1;
    if (!ok) {
        assert_int_equal(p.out.stage, CONN_STAGE_TLS);
        assert_int_equal(p.out.err, -EPROTO);
        (void)snprintf(text, 300, "%s", p.out.text);
        RUN_UNTIL(&net, p.in.closed == 1 || p.in.conn.state == CONN_UNUSED);
        assert_int_equal(p.in.opened, 0);
    }
    pair_end(&p);
    return ok;
}

/* The client verifies names, so what it accepts shows what the server chose. */
static void
certificate_by_name(void **state)
{
    char text[300];

    (void)state;
    assert_true(verifies(server, client, "a.test", text));
    assert_true(verifies(server, client, "A.TEST", text));
    assert_true(verifies(server, client, "q.wild.test", text));
    assert_true(verifies(server, client, "x.wild.test", text));
    assert_true(verifies(server, client, "y.test", text));
    assert_true(verifies(server, client, "y.test.", text));
    assert_true(verifies(server, client, "127.0.0.1", text));
    assert_false(verifies(server, client, "unknown.test", text));
    assert_non_null(strstr(text, "certificate verify failed: "));
    print_message("%s\n", text);
    assert_false(verifies(server, client, "a.b.wild.test", text));
    assert_false(verifies(server, client, "wild.test", text));
}

static void
untrusted_is_refused(void **state)
{
    struct tls_client *stranger = client_make("other");
    struct tls_client_options missing = {.ca_file = "/nonexistent/ca.pem"};
    struct tls_client *blind = tls_client_new(&missing);
    char text[300];

    (void)state;
    assert_false(verifies(server, stranger, "a.test", text));
    assert_non_null(strstr(text, "certificate verify failed: "));
    print_message("%s\n", text);
    assert_false(verifies(server, blind, "a.test", text));
    assert_string_equal(text, "no CA certificates can be read from /nonexistent/ca.pem");
    tls_client_free(stranger);
    tls_client_free(blind);
}

static void
address_needs_an_address_in_the_certificate(void **state)
{
    struct tls_identity only[] = {identity("exact")};
    struct tls_server_options options = {.identities = only, .identity_count = 1};
    char err[TLS_ERROR_TEXT], text[300];
    struct tls_server *nameless = tls_server_new(&options, err);

    (void)state;
    assert_non_null(nameless);
    assert_false(verifies(nameless, client, "127.0.0.1", text));
    assert_true(verifies(nameless, client, "y.test", text));
    tls_server_free(nameless);
}

static void
identities_are_checked(void **state)
{
    struct tls_identity good = identity("first"), other = identity("wild");
    struct tls_identity crossed = {good.chain_pem, other.key_pem};
    struct tls_identity empty = {STR_NONE, STR_NONE};
    struct tls_identity garbage = {STR("-----BEGIN CERTIFICATE-----\nAAAA\n"), good.key_pem};
    struct tls_identity two[] = {good, crossed};
    struct tls_server_options options = {.identities = two, .identity_count = 2};
    char err[TLS_ERROR_TEXT];

    (void)state;
    assert_true(tls_identity_check(&good, err));
    assert_false(tls_identity_check(&crossed, err));
    print_message("%s\n", err);
    assert_false(tls_identity_check(&empty, err));
    print_message("%s\n", err);
    assert_false(tls_identity_check(&garbage, err));
    print_message("%s\n", err);
    assert_null(tls_server_new(&options, err));
    assert_non_null(strstr(err, "certificate 2: the key is not"));
    options.identity_count = 0;
    assert_null(tls_server_new(&options, err));
}

/* ---- whom certificates are for, until when ---- */

static void
add_name(void *arg, struct str text)
{
    struct buf *names = arg;

    buf_add_str(names, text);
    buf_add_char(names, ' ');
}

static void
names_are(struct str chain_pem, const char *wanted)
{
    struct buf names;

    buf_init(&names, 4096);
    assert_true(tls_chain_names(chain_pem, add_name, &names));
    assert_int_equal(names.len, strlen(wanted));
    assert_memory_equal(names.ptr, wanted, names.len);
    buf_free(&names);
}

static void
names_and_dates(void **state)
{
    struct str first = identity("first").chain_pem, authority = str_from(file_read("ca", "pem"));
    struct str cut = {first.ptr, first.len / 2};
    struct tls_dates one, both;
    char chain[8192];
    struct buf none;

    (void)state;
    names_are(first, "a.test localhost 127.0.0.1 ::1 ");
    names_are(identity("wild").chain_pem, "*.wild.test ");
    names_are(authority, "CN=ca "); /* it has no such names */
    assert_in_range(snprintf(chain, sizeof(chain), "%.*s%.*s", STR_ARGS(first), STR_ARGS(authority)), 1, sizeof(chain) - 1);
    names_are(str_from(chain), "a.test localhost 127.0.0.1 ::1 ");
    assert_true(tls_chain_dates(first, &one) && tls_chain_dates(str_from(chain), &both));
    assert_int_equal(one.end_s - one.begin_s, 2 * 86400);
    assert_true(one.count == 1 && both.count == 2 && both.end_s <= one.end_s);
    buf_init(&none, 16);
    assert_false(tls_chain_names(cut, add_name, &none));
    assert_false(tls_chain_names(STR(""), add_name, &none));
    assert_int_equal(none.len, 0);
    buf_free(&none);
}

/* ---- resumption --------------------------------------------------------------------------- */

/* Opens, passes a byte each way (TLS 1.3 sends its tickets after the handshake), closes. */
struct visits {
    struct door door;
    struct side in[8], out[8];
};

static void
visits_one(struct visits *v, unsigned i, struct tls_client *with_client, bool resumed)
{
    struct str byte = STR("x");

    side_init(&v->in[i]);
    side_init(&v->out[i]);
    v->in[i].echo = true;
    side_dial(&net, &v->out[i], v->door.port, with_client, "a.test");
    RUN_UNTIL(&net, v->in[i].opened == 1 && v->out[i].opened == 1);
    assert_int_equal(conn_write(&v->out[i].conn, &byte, 1), 0);
    RUN_UNTIL(&net, v->out[i].got.len == 1);
    assert_int_equal(conn_tls_resumed(&v->in[i].conn), resumed);
    assert_int_equal(conn_tls_resumed(&v->out[i].conn), resumed);
    conn_close(&v->in[i].conn);
    conn_close(&v->out[i].conn);
    RUN_UNTIL(&net, v->in[i].closed == 1 && v->out[i].closed == 1);
    side_free(&v->in[i]);
    side_free(&v->out[i]);
}

static void
sessions_are_resumed(void **state)
{
    static const uint8_t other_secret[TLS_TICKET_SECRET_LEN] = {9};
    struct tls_server *twin = server_make(secret), *stranger = server_make(other_secret);
    struct tls_server *without = server_make(NULL);
    struct tls_client *fresh = client_make("ca");
    struct visits *v = calloc(1, sizeof(*v));

    (void)state;
    assert_non_null(v);
    door_open(&net, &v->door, v->in, 8, server);
    visits_one(v, 0, client, false);
    visits_one(v, 1, client, true);
    assert_int_equal(net.counts.handshakes_full, 2);
    assert_int_equal(net.counts.handshakes_resumed, 2);
    /* Another client has no session. */
    visits_one(v, 2, fresh, false);
    /* Another worker with the same secret reads the ticket. */
    v->door.listener.server = twin;
    visits_one(v, 3, client, true);
    /* One with another secret does not, and gives a new one, which then works. */
    v->door.listener.server = stranger;
    visits_one(v, 4, client, false);
    visits_one(v, 5, client, true);
    v->door.listener.server = without;
    visits_one(v, 6, client, false);
    door_close(&net, &v->door);
    free(v);
    tls_server_free(twin);
    tls_server_free(stranger);
    tls_server_free(without);
    tls_client_free(fresh);
}

/* ---- handshakes that do not end well ------------------------------------------------------ */

static void
closed_at_any_moment(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 60; turns++) {
        for (unsigned who = 0; who < 3; who++) {
            struct pair p;

            pair_start(&p, server, client, "a.test");
            for (unsigned i = 0; i < turns; i++) {
                (void)uv_run(&net.loop, UV_RUN_NOWAIT);
                if (turns % 3 == 0)
                    (void)usleep(200);
            }
            if (who != 1 && p.in.conn.state != CONN_UNUSED)
                conn_close(&p.in.conn);
            if (who != 0)
                conn_reset(&p.out.conn);
            pair_end(&p);
            assert_int_equal(net.handshakes_open, 0);
        }
    }
}

static void
silent_peer_meets_the_deadline(void **state)
{
    struct door door;
    struct side in;
    int fd;

    (void)state;
    net.options.handshake_ms = 150;
    side_init(&in);
    door_open(&net, &door, &in, 1, server);
    fd = raw_connect(door.port);
    RUN_UNTIL(&net, in.errors == 1);
    assert_int_equal(in.stage, CONN_STAGE_TLS);
    assert_int_equal(in.err, -ETIMEDOUT);
    RUN_UNTIL(&net, in.closed == 1);
    (void)close(fd);
    door_close(&net, &door);
}

static void
garbage_is_refused(void **state)
{
    static const char *const garbage[] = {
        "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "\x16\x03\x01\x00\x05hello",
        "\x16\x03\x01\xff\xffhello",
        "\x15\x03\x01",
        "\x17\x03\x03\x01",
    };
    struct door door;
    struct side in[COUNT_OF(garbage)];

    (void)state;
    door_open(&net, &door, in, COUNT_OF(garbage), server);
    for (unsigned i = 0; i < COUNT_OF(garbage); i++) {
        int fd;

        side_init(&in[i]);
        fd = raw_connect(door.port);
        /* The lengths hold NULs: the text is as long as it was written. */
        (void)send(fd, garbage[i], i == 0 ? strlen(garbage[i]) : i < 3 ? 10 : i == 3 ? 3 : 4, 0);
        (void)shutdown(fd, SHUT_WR);
        RUN_UNTIL(&net, in[i].closed == 1);
        assert_int_equal(in[i].errors, 1);
        assert_int_equal(in[i].opened, 0);
        assert_int_equal(in[i].stage, CONN_STAGE_TLS);
        print_message("%s\n", in[i].text);
        (void)close(fd);
    }
    assert_int_equal(net.counts.handshakes_failed, COUNT_OF(garbage));
    door_close(&net, &door);
}

static void
too_many_handshakes_are_refused(void **state)
{
    struct door door;
    struct side in[4];
    int fds[4];

    (void)state;
    net.options.handshakes_max = 2;
    for (unsigned i = 0; i < 4; i++)
        side_init(&in[i]);
    door_open(&net, &door, in, 4, server);
    for (unsigned i = 0; i < 4; i++)
        fds[i] = raw_connect(door.port);
    RUN_UNTIL(&net, door.taken == 4);
    assert_int_equal(door.refused, 2);
    assert_int_equal(net.handshakes_open, 2);
    for (unsigned i = 0; i < 4; i++) {
        (void)close(fds[i]);
        if (in[i].conn.state != CONN_UNUSED)
            RUN_UNTIL(&net, in[i].closed == 1);
    }
    door_close(&net, &door);
}

/* ---- every split -------------------------------------------------------------------------- */

/* A relay that passes on one byte a write: records arrive in every slicing. */
struct relay {
    struct conn in, out;
    struct door door;
    uint16_t port;
    unsigned closed;
    bool out_made;
    struct buf early;
};

static struct relay *the_relay;

static void
relay_pass(struct conn *to, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct str byte = {(const char *)bytes + i, 1};

        if (conn_write(to, &byte, 1) < 0)
            return;
    }
}

static void
relay_on_open(struct conn *conn)
{
    if (conn == &the_relay->out)
        relay_pass(conn, (const uint8_t *)the_relay->early.ptr, the_relay->early.len);
}

static void
relay_on_data(struct conn *conn, uint8_t *bytes, size_t len)
{
    if (conn == &the_relay->in && the_relay->out.state != CONN_OPEN)
        assert_true(buf_add(&the_relay->early, bytes, len));
    else
        relay_pass(conn == &the_relay->in ? &the_relay->out : &the_relay->in, bytes, len);
}

static void
relay_on_eof(struct conn *conn)
{
    conn_close(conn);
}

static void
relay_on_error(struct conn *conn, const struct conn_error *error)
{
    (void)conn;
    (void)error;
}

static void
relay_on_closed(struct conn *conn)
{
    (void)conn;
    the_relay->closed++;
}

static const struct conn_events relay_events = {
    .on_open = relay_on_open,
    .on_data = relay_on_data,
    .on_eof = relay_on_eof,
    .on_error = relay_on_error,
    .on_closed = relay_on_closed,
};

static struct conn *
relay_on_accept(struct listener *listener, const struct net_addr *peer)
{
    struct dial_target target = {.host = STR("127.0.0.1"), .port = the_relay->port, .local = true};

    (void)listener;
    (void)peer;
    assert_int_equal(net_dial(&net, &the_relay->out, &relay_events, &target), 0);
    return &the_relay->in;
}

static void
handshake_byte_by_byte(void **state)
{
    struct relay relay;
    struct side in, out;
    struct door door;
    struct str text = STR("through the eye of a needle");

    (void)state;
    memset(&relay, 0, sizeof(relay));
    the_relay = &relay;
    buf_init(&relay.early, 65536);
    side_init(&in);
    side_init(&out);
    in.echo = true;
    door_open(&net, &door, &in, 1, server);
    relay.port = door.port;
    door_open(&net, &relay.door, NULL, 0, NULL);
    relay.door.listener.on_accept = relay_on_accept;
    relay.door.listener.events = &relay_events;
    side_dial(&net, &out, relay.door.port, client, "a.test");
    RUN_UNTIL(&net, out.opened == 1 && in.opened == 1);
    assert_int_equal(conn_write(&out.conn, &text, 1), 0);
    RUN_UNTIL(&net, out.got.len == text.len);
    assert_memory_equal(out.got.ptr, text.ptr, text.len);
    conn_close(&out.conn);
    conn_close(&in.conn);
    RUN_UNTIL(&net, out.closed == 1 && in.closed == 1 && relay.closed == 2);
    door_close(&net, &door);
    door_close(&net, &relay.door);
    buf_free(&relay.early);
    side_free(&in);
    side_free(&out);
}

static void
random_actions(void **state)
{
    (void)state;
    tools_chaos(&net, server, client, 20);
}

/* ---- with another library ----------------------------------------------------------------- */

struct program {
    pid_t pid;
    int in, out; /* our ends */
    struct buf text;
};

static void
program_start(struct program *program, const char *fmt, ...)
{
    char command[1000];
    int in[2], out[2];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    buf_init(&program->text, 1u << 20);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    program->pid = fork();
    assert_true(program->pid >= 0);
    if (program->pid == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)dup2(out[1], 2);
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    program->in = in[1];
    program->out = out[0];
    assert_int_equal(fcntl(program->out, F_SETFL, O_NONBLOCK), 0);
}

static bool
program_said(struct program *program, const char *what)
{
    char bytes[4096];
    ssize_t got;

    while ((got = read(program->out, bytes, sizeof(bytes))) > 0)
        assert_true(buf_add(&program->text, bytes, (size_t)got));
    return program->text.len > 0 &&
           memmem(program->text.ptr, program->text.len, what, strlen(what)) != NULL;
}

static void
program_end(struct program *program)
{
    (void)close(program->in);
    (void)kill(program->pid, SIGKILL);
    (void)waitpid(program->pid, NULL, 0);
    (void)close(program->out);
    buf_free(&program->text);
}

static void
openssl_talks_to_us(void **state)
{
    static const char *const flags[] = {"-alpn http/1.1", "-tls1_2", "-tls1_2 -cipher AES128-SHA",
                                        "-tls1_1 -cipher ALL:@SECLEVEL=0", "-alpn h2"};
    struct side in[COUNT_OF(flags)];
    struct door door;

    (void)state;
    door_open(&net, &door, in, COUNT_OF(flags), server);
    for (unsigned i = 0; i < COUNT_OF(flags); i++) {
        struct program openssl;

        side_init(&in[i]);
        in[i].echo = true;
        in[i].shutdown_on_eof = true;
        program_start(&openssl,
                      "exec openssl s_client -connect 127.0.0.1:%u -servername x.wild.test "
                      "-verify_hostname x.wild.test -CAfile %s/ca.pem -verify_return_error -quiet "
                      "-no_ign_eof %s",
                      door.port, dir, flags[i]);
        if (i < 2) {
            RUN_UNTIL(&net, in[i].opened == 1);
            assert_int_equal(write(openssl.in, "hello over there\n", 17), 17);
            RUN_UNTIL(&net, program_said(&openssl, "hello over there"));
            (void)close(openssl.in);
            openssl.in = open("/dev/null", O_RDONLY | O_CLOEXEC);
            RUN_UNTIL(&net, in[i].closed == 1);
            assert_true(conn_eof_clean(&in[i].conn));
        } else {
            RUN_UNTIL(&net, in[i].closed == 1);
            assert_int_equal(in[i].opened, 0);
            print_message("%s: %s\n", flags[i], in[i].text);
        }
        program_end(&openssl);
        side_free(&in[i]);
    }
    door_close(&net, &door);
}

/* Whatever order a client has its suites in; and one that has not got the faster one is served, too. */
static void
faster_cipher_is_chosen(void **state)
{
    static const struct {
        const char *suites, *chosen; /* NULL: the faster one */
    } cases[] = {
        {"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", NULL},
        {"TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256", NULL},
        {"TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"},
        {"TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"},
        {"TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
    };
    const char *fast = strcmp(tls_cipher_preferred(), "AES-128-GCM") == 0
                           ? "TLS_AES_128_GCM_SHA256"
                           : "TLS_CHACHA20_POLY1305_SHA256";
    struct side in[COUNT_OF(cases)];
    struct door door;

    (void)state;
    if (strcmp(tls_version_max(), "TLSv1.3") != 0) {
        print_message("this mbedTLS has no TLS 1.3\n");
        skip();
    }
    door_open(&net, &door, in, COUNT_OF(cases), server);
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        struct program openssl;
        char expected[100];

        side_init(&in[i]);
        in[i].echo = true;
        in[i].shutdown_on_eof = true;
        program_start(&openssl,
                      "exec openssl s_client -connect 127.0.0.1:%u -servername x.wild.test "
                      "-CAfile %s/ca.pem -no_ign_eof -tls1_3 -ciphersuites %s",
                      door.port, dir, cases[i].suites);
        (void)snprintf(expected, sizeof(expected), "Cipher is %s\n",
                       cases[i].chosen != NULL ? cases[i].chosen : fast);
        RUN_UNTIL(&net, program_said(&openssl, "Cipher is ") && program_said(&openssl, "---\n"));
        RUN_UNTIL(&net, program_said(&openssl, expected));
        program_end(&openssl);
        RUN_UNTIL(&net, in[i].closed == 1);
        side_free(&in[i]);
    }
    door_close(&net, &door);
}

static void
we_talk_to_openssl(void **state)
{
    static const char *const flags[] = {"", "-tls1_2", "-tls1_1 -cipher ALL:@SECLEVEL=0"};

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(flags); i++) {
        struct program openssl;
        struct side out[2];
        uint16_t port;
        char err[200];
        int fd = net_listen_socket(STR("127.0.0.1:0"), err, sizeof(err));
        struct str ask = STR("GET / HTTP/1.0\r\n\r\n");

        assert_true(fd >= 0);
        port = net_listen_port(fd);
        (void)close(fd);
        program_start(&openssl,
                      "exec openssl s_server -accept 127.0.0.1:%u -cert %s/first.pem -key "
                      "%s/first.key -www %s",
                      port, dir, dir, flags[i]);
        RUN_UNTIL(&net, program_said(&openssl, "ACCEPT"));
        for (unsigned n = 0; n < 2; n++) {
            side_init(&out[n]);
            side_dial(&net, &out[n], port, client, "a.test");
            RUN_UNTIL(&net, out[n].opened + out[n].errors > 0);
            assert_int_equal(out[n].opened, i < 2);
            if (i == 2)
                print_message("%s: %s\n", flags[i], out[n].text);
            if (i < 2) {
                assert_int_equal(conn_write(&out[n].conn, &ask, 1), 0);
                RUN_UNTIL(&net, out[n].eofs == 1);
                assert_non_null(memmem(out[n].got.ptr, out[n].got.len, "HTTP/1.0 200", 12));
                assert_int_equal(conn_tls_resumed(&out[n].conn), n == 1);
            }
            conn_close(&out[n].conn);
            RUN_UNTIL(&net, out[n].closed == 1);
            side_free(&out[n]);
        }
        program_end(&openssl);
    }
}

/* ---- many --------------------------------------------------------------------------------- */

static size_t
resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0, resident = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &pages, &resident), 2);
    (void)fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void
many_idle_connections_are_small(void **state)
{
    enum { COUNT = 200 };
    static struct side in[COUNT], out[COUNT];
    static char big[60000];
    struct str part = {big, sizeof(big)};
    struct door door;
    size_t before, after;
    uint64_t from = clock_mono_us();

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        side_init(&in[i]);
        side_init(&out[i]);
        in[i].keep = out[i].keep = false;
        in[i].echo = true;
    }
    door_open(&net, &door, in, COUNT, server);
    side_dial(&net, &out[0], door.port, client, "a.test");
    RUN_UNTIL(&net, in[0].opened == 1 && out[0].opened == 1);
    before = resident_bytes();
    for (unsigned i = 1; i < COUNT; i++)
        side_dial(&net, &out[i], door.port, client, "a.test");
    for (unsigned i = 0; i < COUNT; i++)
        RUN_UNTIL(&net, in[i].opened == 1 && out[i].opened == 1);
    print_message("%u handshakes in %llu ms, %llu resumed\n", 2 * COUNT,
                  (unsigned long long)(clock_mono_us() - from) / 1000,
                  (unsigned long long)net.counts.handshakes_resumed);
    /* Each has had big records, and is idle again. */
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(conn_write(&out[i].conn, &part, 1), 0);
    for (unsigned i = 0; i < COUNT; i++)
        RUN_UNTIL(&net, out[i].got_bytes == sizeof(big));
    for (unsigned i = 0; i < COUNT; i++) {
        conn_idle(&in[i].conn);
        conn_idle(&out[i].conn);
    }
    after = resident_bytes();
    print_message("%zu bytes resident for each idle TLS connection\n",
                  (after - MIN(before, after)) / (2 * (COUNT - 1)));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true((after - MIN(before, after)) / (2 * (COUNT - 1)) < 20000);
#endif
    for (unsigned i = 0; i < COUNT; i++) {
        conn_close(&in[i].conn);
        conn_close(&out[i].conn);
    }
    for (unsigned i = 0; i < COUNT; i++)
        RUN_UNTIL(&net, in[i].closed == 1 && out[i].closed == 1);
    door_close(&net, &door);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(echo, setup, teardown),
        cmocka_unit_test_setup_teardown(end_without_notice_is_unclean, setup, teardown),
        cmocka_unit_test_setup_teardown(big_echo_under_backpressure, setup, teardown),
        cmocka_unit_test_setup_teardown(certificate_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(untrusted_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(address_needs_an_address_in_the_certificate, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(identities_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(names_and_dates, setup, teardown),
        cmocka_unit_test_setup_teardown(sessions_are_resumed, setup, teardown),
        cmocka_unit_test_setup_teardown(closed_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(silent_peer_meets_the_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_handshakes_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(handshake_byte_by_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(random_actions, setup, teardown),
        cmocka_unit_test_setup_teardown(openssl_talks_to_us, setup, teardown),
        cmocka_unit_test_setup_teardown(faster_cipher_is_chosen, setup, teardown),
        cmocka_unit_test_setup_teardown(we_talk_to_openssl, setup, teardown),
        cmocka_unit_test_setup_teardown(many_idle_connections_are_small, setup, teardown),
    };

    return cmocka_run_group_tests(tests, make_all, remove_all);
}
