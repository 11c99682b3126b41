/*
 * Prices against a model that counts in exact fractions: test/unit/price_model.py makes a file of
 * random prices and cases with what each must come to. Its seed is printed, and TEST_SEED repeats
 * it.
 */
#include <stdio.h>

#include "base/rng.h"
#include "base/str.h"
#include "route/price.h"
#include "test/unit/testing.h"

#define FILES 8
#define CASES 1500

struct one_case {
    char model[16], channel[16], service[16], sum[128];
    int64_t wall_us;
    struct price_count count;
    long long cost_ucr;
};

static bool
case_read(FILE *in, struct one_case *out)
{
    long long wall_us;

    if (fscanf(in, "%15s %15s %lld %15s", out->model, out->channel, &wall_us, out->service) != 4)
        return false;
    out->wall_us = wall_us;
    for (int class = 0; class < CONF_CLASS_COUNT; class ++)
        assert_int_equal(fscanf(in, "%u", &out->count.n[class]), 1);
    assert_int_equal(fscanf(in, "%lld %127s", &out->cost_ucr, out->sum), 2);
    return true;
}

static struct price
price_for(const struct conf *conf, const struct one_case *c)
{
    int model = conf_model_index(conf, str_from(c->model));
    int channel = conf_channel_index(conf, str_from(c->channel));
    struct price price;

    assert_true(model >= 0 && channel >= 0);
    price = price_of(&conf->models[model], &conf->channels[channel]);
    price.discount = price_discount_at(price.model, c->wall_us);
    price.service = price_service_of(price.model, str_from(c->service));
    assert_int_equal(price.service != 0, strcmp(c->service, "-") != 0);
    return price;
}

static struct price_bounds
bounds_of(const struct price_count *count)
{
    struct price_bounds bounds = {
        .images = count->n[CONF_IMAGES],
        .seconds = count->n[CONF_SECONDS],
        .characters = count->n[CONF_CHARACTERS],
        .requests = count->n[CONF_REQUESTS],
        .searches = count->n[CONF_SEARCHES],
    };

    for (int class = 0; class < CONF_TOKEN_CLASS_COUNT; class ++)
        *(class < CONF_INPUT_CLASS_COUNT ? &bounds.input : &bounds.output) += count->n[class];
    return bounds;
}

static void
check_case(const struct conf *conf, const struct one_case *c)
{
    struct price price = price_for(conf, c);
    struct price_bounds bounds = bounds_of(&c->count);
    char sum[PRICE_TEXT_LEN + 1];
    int64_t cost_ucr = -1, worst_ucr;

    assert_true(price_cost(&price, &c->count, &cost_ucr));
    assert_true(price_sum(&price, &c->count, sum));
    if (cost_ucr != c->cost_ucr || strcmp(sum, c->sum) != 0)
        fail_msg("%s %s %lld %s: %lld %s and not %lld %s", c->model, c->channel,
                 (long long)c->wall_us, c->service, (long long)cost_ucr, sum, c->cost_ucr, c->sum);
    /* Whatever serves it and however its tokens are of classes, a hold for as many covers it. */
    assert_true(price_worst(&price, &bounds, &worst_ucr));
    assert_true(cost_ucr <= worst_ucr);
}

/* The tables as the store keeps them say the same. */
static struct conf *
kept(const struct conf *conf)
{
    struct buf json, again;
    struct conf *read;

    buf_init(&json, 1 << 24);
    buf_init(&again, 1 << 24);
    conf_prices_json(conf, &json);
    assert_false(json.failed);
    read = conf_prices_read(buf_str(&json));
    assert_non_null(read);
    conf_prices_json(read, &again);
    assert_int_equal(json.len, again.len);
    assert_memory_equal(json.ptr, again.ptr, json.len);
    buf_free(&json);
    buf_free(&again);
    return read;
}

static void
check_kept(const struct conf *conf, const struct conf *read, const struct one_case *c)
{
    struct price price = price_for(conf, c), again;
    int64_t cost_ucr = -1;

    again = price_of(&read->models[conf_model_index(read, str_from(c->model))],
                     &read->channels[conf_channel_index(read, str_from(c->channel))]);
    again.service = price.service;
    again.discount = price.discount;
    assert_true(price_cost(&again, &c->count, &cost_ucr));
    assert_int_equal(cost_ucr, c->cost_ucr);
}

static void
one_file(uint64_t seed, const char *dir)
{
    struct conf_faults faults;
    struct conf *conf = NULL, *read = NULL;
    struct one_case c;
    char text[256];
    size_t count = 0;
    FILE *in;

    snprintf(text, sizeof(text), "/usr/bin/python3 test/unit/price_model.py %llu %d %s",
             (unsigned long long)(seed >> 12), CASES, dir);
    in = popen(text, "r");
    assert_non_null(in);
    for (; case_read(in, &c); count++) {
        if (conf == NULL) {
            snprintf(text, sizeof(text), "%s/prices.conf", dir);
            conf = conf_load(text, &faults);
            for (size_t i = 0; i < faults.count && conf == NULL; i++)
                print_error("%u: %s\n", faults.at[i].line, faults.at[i].message);
            assert_non_null(conf);
            conf_faults_free(&faults);
            read = kept(conf);
        }
        check_case(conf, &c);
        check_kept(conf, read, &c);
    }
    assert_int_equal(pclose(in), 0);
    assert_int_equal(count, CASES);
    conf_free(&conf);
    conf_free(&read);
}

static void
test_against_fractions(void **state)
{
    uint64_t rng = test_seed();
    char dir[] = "/tmp/turnpike-prices-XXXXXX", path[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    for (int file = 0; file < FILES; file++)
        one_file(rng_next(&rng), dir);
    snprintf(path, sizeof(path), "%s/prices.conf", dir);
    unlink(path);
    rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_fractions)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
