/* What a good file becomes. */
#include "conf/conf.h"

#include "base/js.h"
#include "base/str.h"
#include "test/unit/testing.h"

static struct conf *
load(const char *text)
{
    struct conf_faults faults;
    struct conf *conf = conf_load_text(str_from(text), "t", &faults);

    for (size_t i = 0; i < faults.count && conf == NULL; i++)
        print_error("%u: %s\n", faults.at[i].line, faults.at[i].message);
    assert_non_null(conf);
    conf_faults_free(&faults);
    return conf;
}

/* The shapes that the file may have, all in one. */
static const char whole[] =
    "upstream \"anthropic-main\" {\n"
    "    protocol   = {anthropic}               # of: openai responses anthropic gemini\n"
    "    url        = \"https://API.anthropic.com\"   # the base\n"
    "    local      = false\n"
    "    key-env    = \"ANTHROPIC_API_KEY\"\n"
    "    models     = {\"claude-*\"}\n"
    "    rename     = {\"claude-sonnet-4-5=claude-sonnet-4-5-20250929\", 'claude-x=a=b'}\n"
    "    timeout-connect = 3s timeout-first-byte = 1m\n"
    "    timeout-idle = 1500ms\n"
    "    max-connections = 16\n"
    "    rpm = 4000\n"
    "    ca-file    = \"\"\n"
    "}\n"
    "upstream spare { protocol = openai protocol += {responses} local = on\n"
    "    url = http://[::1]:8081/v1/ }\n"
    "model \"claude-sonnet-4.5\" {\n"
    "    family     = claude\n"
    "    currency   = USD\n"
    "    input = 3.00   output = 15.00   cache-read = 0.30   cache-write = 3.75\n"
    "    cache-write-1h = 6.00\n"
    "    context    = 200000\n"
    "    max-output = 64000\n"
    "    can        = {tools, vision, thinking, json}\n"
    "    quality    = 90\n"
    "    alias      = {\"claude-sonnet-4-5\"}\n"
    "    tier \"above-200k\" { above = 200000  input = 6.00  output = 22.50 }\n"
    "    tier \"above-500k\" { above = 500000  inclusive = yes  cache-read = 9 }\n"
    "}\n"
    "model \"claude-x\" { input = 2 output = 0 cache-write = 3 currency = CNY }\n"
    "model \"plain\" { input = 0.000001 output = 1000000 }\n"
    "channel \"smart\" {\n"
    "    title      = \"Smart \xe4\xbc\x98\"\n"
    "    multiplier = 1.5\n"
    "    multiplier-cny = 0.000001\n"
    "    use        = {\"anthropic-main\", \"spare\"}\n"
    "    weights    = {\"spare=3\"}\n"
    "    public     = false\n"
    "}\n"
    "channel \"second\" { use = spare }\n"
    "auto \"auto\" {\n"
    "    models     = {\"claude-*\", \"plain\"}\n"
    "    latency = 0.3   cost = 0.45   quality = 0\n"
    "}\n"
    "limits { body = 1m  headers = 32k  connections = 20000  hold-output = 1  time-idle = 1h }\n";

static void
test_upstreams(void **state)
{
    struct conf *conf = load(whole);
    const struct conf_upstream *u = &conf->upstreams[0];

    (void)state;
    assert_int_equal(conf->upstream_count, 2);
    assert_str(u->name, "anthropic-main");
    assert_int_equal(u->protocols, CONF_PROTOCOL_BIT(CONF_ANTHROPIC));
    assert_str(u->url, "https://API.anthropic.com");
    assert_true(u->tls && !u->local);
    assert_str(u->host, "api.anthropic.com");
    assert_str(u->authority, "api.anthropic.com");
    assert_str(u->base_path, "");
    assert_int_equal(u->port, 443);
    assert_null(u->credentials[0].secret.ptr);
    assert_null(u->disabled_reason); /* secrets are not looked for in a text */
    assert_int_equal(u->models.count, 1);
    assert_str(u->models.at[0], "claude-*");
    assert_int_equal(u->rename_count, 2);
    assert_str(u->renames[0].model, "claude-sonnet-4.5"); /* by its alias */
    assert_str(u->renames[0].model_sent, "claude-sonnet-4-5-20250929");
    assert_str(conf_upstream_model_name(u, &conf->models[0]), "claude-sonnet-4-5-20250929");
    assert_str(conf_upstream_model_name(u, &conf->models[1]), "a=b");
    assert_int_equal(u->connect_ms, 3000);
    assert_int_equal(u->first_byte_ms, 60000);
    assert_int_equal(u->idle_ms, 1500);
    assert_int_equal(u->connections_max, 16);
    assert_int_equal(u->credentials[0].rpm, 4000);
    assert_null(u->ca_file.ptr);

    u = &conf->upstreams[1];
    assert_int_equal(u->protocols,
                     CONF_PROTOCOL_BIT(CONF_OPENAI) | CONF_PROTOCOL_BIT(CONF_RESPONSES));
    assert_true(!u->tls && u->local);
    assert_str(u->host, "::1");
    assert_str(u->authority, "[::1]:8081");
    assert_str(u->base_path, "/v1");
    assert_int_equal(u->port, 8081);
    assert_str(u->models.at[0], "*");
    assert_int_equal(u->first_byte_ms, 120000);
    assert_int_equal(u->idle_ms, 300000);
    assert_int_equal(u->connections_max, 512);
    assert_int_equal(u->credentials[0].rpm, 0);
    assert_true(conf_upstream_serves(u, &conf->models[2]));
    assert_false(conf_upstream_serves(&conf->upstreams[0], &conf->models[2]));
    assert_str(conf_upstream_model_name(u, &conf->models[0]), "claude-sonnet-4.5");
    conf_free(&conf);
    assert_null(conf);
}

static void
check_rates(const struct conf_rates *rates, int64_t in, int64_t read, int64_t write,
            int64_t write_1h, int64_t out)
{
    assert_int_equal(rates->u_per_mtok[CONF_INPUT], in);
    assert_int_equal(rates->u_per_mtok[CONF_CACHE_READ], read);
    assert_int_equal(rates->u_per_mtok[CONF_CACHE_WRITE_5M], write);
    assert_int_equal(rates->u_per_mtok[CONF_CACHE_WRITE_1H], write_1h);
    assert_int_equal(rates->u_per_mtok[CONF_OUTPUT], out);
}

static void
test_models(void **state)
{
    struct conf *conf = load(whole);
    const struct conf_model *m = &conf->models[0];

    (void)state;
    assert_int_equal(conf->model_count, 3);
    assert_str(m->name, "claude-sonnet-4.5");
    assert_str(m->family, "claude");
    assert_int_equal(m->currency, CONF_USD);
    check_rates(&m->rates, 3000000, 300000, 3750000, 6000000, 15000000);
    assert_int_equal(m->context_tokens, 200000);
    assert_int_equal(m->output_tokens_max, 64000);
    assert_int_equal(m->can, 1u << CONF_CAN_TOOLS | 1u << CONF_CAN_VISION |
                                 1u << CONF_CAN_THINKING | 1u << CONF_CAN_JSON);
    assert_int_equal(m->quality, 90);
    assert_int_equal(m->aliases.count, 1);
    assert_str(m->aliases.at[0], "claude-sonnet-4-5");
    assert_int_equal(m->tier_count, 2); /* in order, with the model's own where they are silent */
    assert_str(m->tiers[0].title, "above-200k");
    assert_int_equal(m->tiers[0].above_tokens, 200000);
    assert_false(m->tiers[0].inclusive);
    check_rates(&m->tiers[0].rates, 6000000, 300000, 3750000, 6000000, 22500000);
    assert_true(m->tiers[1].inclusive);
    check_rates(&m->tiers[1].rates, 3000000, 9000000, 3750000, 6000000, 15000000);

    m = &conf->models[1];
    assert_str(m->family, "claude-x");
    assert_int_equal(m->currency, CONF_CNY);
    check_rates(&m->rates, 2000000, 2000000, 3000000, 3000000, 0);
    assert_int_equal(m->quality, 50);
    m = &conf->models[2];
    check_rates(&m->rates, 1, 1, 1, 1, CONF_PRICE_MAX_U_PER_MTOK);
    assert_int_equal(m->context_tokens, 0);
    assert_int_equal(m->output_tokens_max, 0);
    conf_free(&conf);
}

static void
test_channels(void **state)
{
    struct conf *conf = load(whole);
    const struct conf_channel *c = &conf->channels[0];

    (void)state;
    assert_int_equal(conf->channel_count, 2);
    assert_str(c->title, "Smart \xe4\xbc\x98");
    assert_int_equal(c->multiplier_u[CONF_USD], 1500000);
    assert_int_equal(c->multiplier_u[CONF_CNY], 1);
    assert_int_equal(c->use_count, 2);
    assert_int_equal(c->uses[0].upstream_idx, 0);
    assert_int_equal(c->uses[0].weight, 1);
    assert_int_equal(c->uses[1].upstream_idx, 1);
    assert_int_equal(c->uses[1].weight, 3);
    assert_false(c->is_public);
    c = &conf->channels[1];
    assert_str(c->title, "second");
    assert_int_equal(c->multiplier_u[CONF_USD], CONF_MICRO);
    assert_int_equal(c->multiplier_u[CONF_CNY], CONF_MICRO);
    assert_true(c->is_public);

    assert_int_equal(conf->auto_count, 1);
    assert_int_equal(conf->autos[0].latency_u, 300000);
    assert_int_equal(conf->autos[0].cost_u, 450000);
    assert_int_equal(conf->autos[0].quality_u, 0);
    assert_int_equal(conf->autos[0].models.count, 2);
    conf_free(&conf);
}

static void
test_limits(void **state)
{
    struct conf *conf = load(whole);
    struct conf *bare = load("");
    const struct conf_limits *l = &conf->limits;

    (void)state;
    assert_int_equal(l->body_bytes, 1 << 20);
    assert_int_equal(l->headers_bytes, 32 << 10);
    assert_int_equal(l->hold_output_tokens, 1);
    assert_int_equal(l->idle_ms, 3600000);
    l = &bare->limits;
    assert_int_equal(l->body_bytes, 32 << 20);
    assert_int_equal(l->headers_bytes, 64 << 10);
    assert_int_equal(l->header_bytes, 16 << 10);
    assert_int_equal(l->header_lines, 100);
    assert_int_equal(l->request_line_bytes, 16 << 10);
    assert_int_equal(l->chunk_extra_bytes, 4 << 10);
    assert_int_equal(l->blank_lines, 2);
    assert_int_equal(l->connections, 20000);
    assert_int_equal(l->requests_per_connection, 100000);
    assert_int_equal(l->headers_ms, 10000);
    assert_int_equal(l->body_ms, 60000);
    assert_int_equal(l->body_bytes_per_s_min, 1024);
    assert_int_equal(l->idle_ms, 60000);
    assert_int_equal(l->write_ms, 60000);
    assert_int_equal(l->response_headers_bytes, 64 << 10);
    assert_int_equal(l->response_headers_1xx, 8);
    assert_int_equal(l->response_body_bytes, 32 << 20);
    assert_int_equal(l->event_bytes, 1 << 20);
    assert_int_equal(l->call_ms, 3600000);
    assert_int_equal(l->stop_ms, 30000);
    assert_int_equal(l->reload_ms, 900000);
    assert_int_equal(l->hold_output_tokens, 4096);
    assert_int_equal(l->usage_band, 8);
    conf_free(&conf);
    conf_free(&bare);
    conf_free(&bare);
}

static void
test_log(void **state)
{
    struct conf *bare = load("");
    struct conf *said = load("log { access = sampled  sample = 0.25  slow = 2s }");

    (void)state;
    assert_int_equal(bare->log.access, CONF_ACCESS_OFF);
    assert_int_equal(bare->log.sample_u, 10000);
    assert_int_equal(bare->log.slow_ms, 30000);
    assert_int_equal(said->log.access, CONF_ACCESS_SAMPLED);
    assert_int_equal(said->log.sample_u, 250000);
    assert_int_equal(said->log.slow_ms, 2000);
    conf_free(&bare);
    conf_free(&said);
}

static void
test_look_up(void **state)
{
    struct conf *conf = load(whole);
    struct conf *bare = load("limits {}");

    (void)state;
    assert_int_equal(conf_model_index(conf, STR("claude-sonnet-4.5")), 0);
    assert_int_equal(conf_model_index(conf, STR("claude-sonnet-4-5")), 0);
    assert_int_equal(conf_model_index(conf, STR("plain")), 2);
    assert_int_equal(conf_model_index(conf, STR("Plain")), CONF_NONE);
    assert_int_equal(conf_model_index(conf, STR("plai")), CONF_NONE);
    assert_int_equal(conf_model_index(conf, STR("")), CONF_NONE);
    assert_int_equal(conf_model_index(conf, STR_NONE), CONF_NONE);
    assert_int_equal(conf_model_index(conf, STR("auto")), CONF_NONE);
    assert_int_equal(conf_auto_index(conf, STR("auto")), 0);
    assert_int_equal(conf_channel_index(conf, STR("second")), 1);
    assert_int_equal(conf_upstream_index(conf, STR("spare")), 1);
    assert_int_equal(conf_upstream_index(conf, STR("second")), CONF_NONE);
    assert_int_equal(conf_model_index(bare, STR("plain")), CONF_NONE);
    assert_int_equal(conf_auto_index(bare, STR("auto")), CONF_NONE);
    conf_free(&conf);
    conf_free(&bare);
}

/* As many names as there may be, all of them found. */
static void
test_many_names(void **state)
{
    struct buf text;
    struct conf *conf;
    char name[32];

    (void)state;
    buf_init(&text, 1 << 22);
    for (int i = 0; i < CONF_MODEL_COUNT_MAX; i++)
        buf_add_fmt(&text, "model \"m%d\" { input = 1 output = 1 alias = {\"a%d\", \"b%d\"} }\n", i,
                    i, i);
    buf_add_char(&text, '\0');
    conf = load(text.ptr);
    assert_int_equal(conf->model_count, CONF_MODEL_COUNT_MAX);
    for (int i = 0; i < CONF_MODEL_COUNT_MAX; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        assert_int_equal(conf_model_index(conf, str_from(name)), i);
        name[0] = 'b';
        assert_int_equal(conf_model_index(conf, str_from(name)), i);
        name[0] = 'c';
        assert_int_equal(conf_model_index(conf, str_from(name)), CONF_NONE);
    }
    conf_free(&conf);
    buf_free(&text);
}

static uint64_t
version_of(const char *text)
{
    struct conf *conf = load(text);
    uint64_t version = conf->price_version;

    conf_free(&conf);
    return version;
}

#define M_B "model \"b\" { input = 3 output = 4 tier \"t\" { above = 10 input = 5 } }\n"

static void
test_price_version(void **state)
{
    uint64_t version = version_of("model \"a\" { input = 1 output = 2 }\n" M_B);
    static const char *const other[] = {
        "model \"a\" { input = 1 output = 2.000001 }\n" M_B,
        "model \"a2\" { input = 1 output = 2 }\n" M_B,
        "model \"a\" { input = 1 output = 2 currency = CNY }\n" M_B,
        "model \"a\" { input = 1 output = 2 cache-read = 0.5 }\n" M_B,
        "model \"a\" { input = 1 output = 2 tier \"t\" { above = 1 input = 1 } }\n" M_B,
        "model \"a\" { input = 1 output = 2 per-request = 0.000000000001 }\n" M_B,
        "model \"a\" { input = 1 output = 2 service \"s\" { factor = 2 } }\n" M_B,
        "model \"a\" { input = 1 output = 2 per-batched-request = 0 }\n" M_B,
        "model \"a\" { input = 1 output = 2 per-batched-request = 0.000000000001 }\n" M_B,
        "model \"a\" { input = 1 output = 2 discount \"d\" { from = 01:00 to = 02:00 factor = 2 } }\n"
        M_B,
        "model \"a\" { input = 1 output = 2 }\n",
        "",
    };

    (void)state;
    assert_true(version != 0);
    /* Order, titles, and what has no price do not count. */
    assert_true(version == version_of(M_B "model \"a\" { output = 2.0 input = 01 }\n"));
    assert_true(version ==
                version_of("model \"a\" { input = 1 output = 2 quality = 3 "
                           "alias = {\"x\"} context = 5 family = f }\n" M_B
                           "limits { body = 1m }"));
    for (size_t i = 0; i < COUNT_OF(other); i++)
        assert_true(version != version_of(other[i]));
    /* Multipliers do. */
    assert_true(version_of("upstream \"u\" { protocol = openai url = \"https://u.example\" }\n"
                           "channel \"c\" { use = u }\n") !=
                version_of("upstream \"u\" { protocol = openai url = \"https://u.example\" }\n"
                           "channel \"c\" { use = u multiplier = 1.000001 }\n"));
}

static void
test_prices_json(void **state)
{
    struct conf *conf = load(whole);
    struct js_value json;
    struct js_error err;
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 16);
    conf_prices_json(conf, &out);
    assert_false(out.failed);
    assert_true(js_check(buf_str(&out), &json, &err));
    assert_str(
        buf_str(&out),
        "{\"models\":[{\"name\":\"claude-sonnet-4.5\",\"currency\":\"USD\",\"input\":3000000,"
        "\"cache-read\":300000,\"cache-write\":3750000,\"cache-write-1h\":6000000,"
        "\"output\":15000000,\"tiers\":[{\"above\":200000,\"inclusive\":false,"
        "\"title\":\"above-200k\",\"input\":6000000,\"output\":22500000},{\"above\":500000,"
        "\"inclusive\":true,\"title\":\"above-500k\",\"cache-read\":9000000}]},"
        "{\"name\":\"claude-x\",\"currency\":\"CNY\",\"input\":2000000,"
        "\"cache-write\":3000000,\"output\":0},{\"name\":\"plain\",\"currency\":\"USD\","
        "\"input\":1,\"output\":1000000000000}],\"channels\":[{\"name\":\"second\","
        "\"multiplier\":1000000,\"multiplier-cny\":1000000},{\"name\":\"smart\","
        "\"multiplier\":1500000,\"multiplier-cny\":1}]}");
    buf_free(&out);
    conf_free(&conf);
}

/* Cut anywhere, a file is refused or read, and nothing is touched beyond its end. */
static void
test_every_cut(void **state)
{
    (void)state;
    for (size_t len = 0; len <= sizeof(whole) - 1; len += len % 7 == 0 ? 1 : 3) {
        struct page page = page_make(whole, len);
        struct conf_faults faults;
        struct conf *conf = conf_load_text(page.text, "t", &faults);

        assert_true((conf == NULL) == (faults.fault_count > 0));
        conf_faults_free(&faults);
        conf_free(&conf);
        page_free(&page);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upstreams),     cmocka_unit_test(test_models),
        cmocka_unit_test(test_channels),      cmocka_unit_test(test_limits),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_look_up),       cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_price_version), cmocka_unit_test(test_prices_json),
        cmocka_unit_test(test_every_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
