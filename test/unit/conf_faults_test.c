/* Every fault, with its line and message, and all of a file in one run. */
#include "base/buf.h"
#include "base/str.h"
#include "conf/conf.h"
#include "test/unit/testing.h"

#define NO_MODEL "turnpike models shows what there is"
#define U "upstream \"u\" { protocol = openai url = \"https://u.example\" }\n"
#define M "model \"m\" { input = 1 output = 2 }\n"
#define C "channel \"c\" { use = u }\n"

struct faulty {
    const char *text;
    const char *says; /* a line a fault: "LINE: message", warnings marked; "" is a good file */
};

static void
check_faults(const struct faulty *faulty)
{
    struct conf_faults faults;
    struct conf *conf;
    struct buf said;

    buf_init(&said, 1 << 20);
    conf = conf_load_text(str_from(faulty->text), "t", &faults);
    for (size_t i = 0; i < faults.count; i++) {
        assert_string_equal(faults.at[i].file, "t");
        buf_add_fmt(&said, "%u: %s%s\n", faults.at[i].line, faults.at[i].warning ? "warning: " : "",
                    faults.at[i].message);
    }
    buf_add_char(&said, '\0');
    if (strcmp(said.ptr, faulty->says) != 0)
        print_error("-- for\n%s-- said\n%s-- and not\n%s", faulty->text, said.ptr, faulty->says);
    assert_string_equal(said.ptr, faulty->says);
    assert_int_equal(faults.fault_count + faults.warning_count, faults.count);
    assert_true((conf == NULL) == (faults.fault_count > 0));
    buf_free(&said);
    conf_faults_free(&faults);
    conf_free(&conf);
}

#define CHECK_ALL(cases)                                                                           \
    for (size_t i_ = 0; i_ < COUNT_OF(cases); i_++)                                                \
    check_faults(&(cases)[i_])

static void
test_names(void **state)
{
    static const struct faulty cases[] = {
        {U M C, ""},
        {U M C "chanel \"d\" { use = {u} nested { deep = 1 } }\nlimit { }\nfoo { }\n",
         "4: unknown section \"chanel\"; did you mean \"channel\"?\n"
         "5: unknown section \"limit\"; did you mean \"limits\"?\n"
         "6: unknown section \"foo\"\n"},
        {U M "channel \"c\" {\n use = u\n titel = \"x\"\n input = 3 zzz = {a, b} titel += 4\n}\n",
         "5: unknown name \"titel\" in channel \"c\"; did you mean \"title\"?\n"
         "6: unknown name \"input\" in channel \"c\"; it belongs in model\n"
         "6: unknown name \"zzz\" in channel \"c\"\n"
         "6: unknown name \"titel\" in channel \"c\"; did you mean \"title\"?\n"},
        {U C "model \"m\" { input = 1 output = 2\n tier \"t\" { above = 1 input = 2 beyond = 3 }\n"
             " teir \"s\" { } }\n",
         "4: unknown name \"beyond\" in tier \"t\"\n"
         "5: unknown name \"teir\" in model \"m\"; did you mean \"tier\"?\n"},
        {"input = 3\n" U M C "quux = 3\n",
         "1: \"input\" stands outside of any section; it belongs in model\n"
         "5: unknown name \"quux\" outside of any section\n"},
        {U M C "limits {\n \"@\" = 3 }\n", "5: unknown name \"@\" in limits\n"},
        {U M C "limits { body = 1m\n body = 2m }\nlimits { }\n",
         "5: \"body\" is given twice in limits; first in line 4\n"
         "6: limits is there twice; first in line 4\n"},
        {U M C "log { access = some }\nlog { sample = 1.1 }\n",
         "4: access: \"some\" is none of off sampled full\n"
         "5: log is there twice; first in line 4\n"},
        {U M C U M C "model \"x\" { input = 0 output = 0 alias = {\"m\", \"x\", \"y\", \"y\"} }\n",
         "4: upstream \"u\" is there twice; first in line 1\n"
         "5: model \"m\" is there twice; first in line 2\n"
         "6: channel \"c\" is there twice; first in line 3\n"
         "7: alias: \"m\" is a name of model \"m\" already\n"
         "7: alias: model \"x\" has the name \"x\" already\n"
         "7: alias: model \"x\" has the name \"y\" already\n"},
        {U M C "auto \"m\" { models = {m} }\n", "4: auto \"m\": a model has that name\n"},
        {U M C "upstream \"a b\" { protocol = openai url = \"https://u.example\" }\n"
               "channel \"\" { use = u }\n",
         "4: upstream \"a b\": a name has letters, digits and . _ - only\n"
         "5: channel \"\": the name is empty\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void
test_types(void **state)
{
    static const struct faulty cases[] = {
        {U M C "limits {\n body = 32q\n header-lines = -1\n header-lines += 2\n time-idle = 3\n"
               " time-body = 3d\n time-write = soon\n event = 99g\n time-call = 999ms\n headers = "
               "{1k, 2k}\n"
               " connections = 1e3\n usage-band = 99999999999999999999\n body-rate = \"1 k\"\n}\n",
         "5: body: \"32q\" is not a size; write digits and k, m or g, such as 32m\n"
         "6: header-lines: takes one value, not a list\n"
         "8: time-idle: \"3\" is not a duration; write digits and ms, s, m or h, such as 30s\n"
         "9: time-body: \"3d\" is not a duration; write digits and ms, s, m or h, such as 30s\n"
         "10: time-write: \"soon\" is not a duration; write digits and ms, s, m or h, such as 30s\n"
         "11: event: 99g is too large: at most 64m\n"
         "12: time-call: 999ms is too small: at least 1s\n"
         "13: headers: takes one value, not a list\n"
         "14: connections: \"1e3\" is not a number; write digits\n"
         "15: usage-band: 99999999999999999999 is too large: at most 1000\n"
         "16: body-rate: \"1 k\" is not a size; write digits and k, m or g, such as 32m\n"},
        {U C "model \"m\" {\n input = -1\n output = 1.0000001\n cache-read = 1000000.000001\n"
             " cache-write = free\n cache-write-1h = .5\n quality = 101\n currency = EUR\n"
             " can = {tools, visions}\n}\n",
         "4: input: -1 is negative; at least 0\n"
         "5: output: 1.0000001 is too precise: at most six decimals\n"
         "6: cache-read: 1000000.000001 is too large: at most 1000000\n"
         "7: cache-write: \"free\" is not a price; write digits with at most six decimals, such as "
         "3.75\n"
         "8: cache-write-1h: \".5\" is not a price; write digits with at most six decimals, such "
         "as "
         "3.75\n"
         "9: quality: 101 is too large: at most 100\n"
         "10: currency: \"EUR\" is none of USD CNY\n"
         "11: can: \"visions\" is none of tools vision thinking json audio embeddings; did you "
         "mean "
         "\"vision\"?\n"},
        {U M "channel \"c\" { use = u multiplier = 1.0000000 public = maybe\n"
             " multiplier-cny = 1000001 title = \"\xff\" }\n",
         "3: multiplier: 1.0000000 is too precise: at most six decimals\n"
         "3: public: \"maybe\" is neither true nor false\n"
         "4: title: the value holds control characters or is not UTF-8\n"
         "4: multiplier-cny: 1000001 is too large: at most 1000000\n"},
        {U M C "auto \"a\" { models = {m} latency = 1.1 cost = 0 quality = 0 }\n"
               "auto \"b\" { models = {m} latency = 0 cost = 0 quality = 0.0 }\n",
         "4: latency: 1.1 is too large: at most 1\n"
         "4: auto \"a\": latency, cost and quality are all 0\n"
         "5: auto \"b\": latency, cost and quality are all 0\n"},
        {U M C "limits { headers = 8k }\n",
         "4: header: is more than headers\n"},
        {U M C "limits { body = 32m\n memory = 63m }\n",
         "5: memory: is less than twice body; no request as large as that could be read\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

/* Prices that a model has besides its own, and such as could not be charged. */
static void
test_prices(void **state)
{
    static const struct faulty cases[] = {
        {U C "model \"m\" { input = 1 output = 2 per-image = 0.0000000000001 per-second = -1\n"
             " per-request = 1000.1 per-search = x }\n",
         "3: per-image: 0.0000000000001 is too precise: at most twelve decimals\n"
         "3: per-second: -1 is negative; at least 0\n"
         "4: per-request: 1000.1 is too large: at most 1000\n"
         "4: per-search: \"x\" is not a price of one; write digits with at most twelve decimals, "
         "such as 3.75\n"},
        {"upstream \"p\" { protocol = {openai} url = \"https://p.test\" cost = 0 }\n"
         "upstream \"q\" { protocol = {openai} url = \"https://q.test\" cost = 1000.1 }\n"
         "upstream \"r\" { protocol = {openai} url = \"https://r.test\" cost = cheap }\n" U C,
         "1: cost: 0 is too small: at least 0.000001\n"
         "2: cost: 1000.1 is too large: at most 1000\n"
         "3: cost: \"cheap\" is not a decimal; write digits with at most six decimals, such as 3.75\n"},
        {U M "channel \"c\" { use = u multiplier = 0 multiplier-cny = -2 }\n",
         "3: multiplier: 0 is too small: at least 0.000001\n"
         "3: multiplier-cny: -2 is negative; at least 0.000001\n"},
        {U C "model \"m\" { input = 1 output = 2\n service \"flex\" { }\n"
             " service \"flex\" { factor = 0.5 }\n service \"default\" { factor = 2 }\n"
             " service \"a b\" { factor = 0 }\n service \"big\" { factor = 1001 } }\n",
         "4: service \"flex\": states neither a factor nor a price\n"
         "5: service \"flex\" is there twice\n"
         "6: service \"default\": that is no other service: its prices are the model's\n"
         "7: factor: 0 is too small: at least 0.000001\n"
         "7: service \"a b\": a name has letters, digits and . _ - only\n"
         "8: factor: 1001 is too large: at most 1000\n"},
        {U C "model \"m\" { input = 1 output = 2\n discount \"a\" { to = 04:00 factor = 0.5 }\n"
             " discount \"b\" { from = 4:00 to = 25:00 factor = 0.5 }\n"
             " discount \"c\" { from = 05:00 to = 05:00 factor = 0.5 }\n"
             " discount \"d\" { from = 06:00 to = 07:00 }\n}\n",
         "4: discount \"a\": from is not stated\n"
         "5: from: \"4:00\" is not a time of day; write one such as 16:30\n"
         "5: to: \"25:00\" is not a time of day; write one such as 16:30\n"
         "6: to: the same as from; for the whole day change the model's own prices\n"
         "7: discount \"d\": states neither a factor nor a price\n"},
        {U C "model \"m\" { input = 1 output = 2\n"
             " discount \"a\" { from = 22:00 to = 06:00 factor = 0.5 }\n"
             " discount \"b\" { from = 06:00 to = 07:00 factor = 0.5 }\n"
             " discount \"c\" { from = 05:59 to = 06:00 factor = 0.5 }\n"
             " discount \"a\" { from = 12:00 to = 13:00 factor = 0.5 }\n}\n",
         "6: discount \"c\": holds in hours that discount \"a\" does\n"
         "7: discount \"a\" is there twice\n"},
        {U C "model \"m\" { input = 1 output = 999.999999 per-second = 999.999999999999\n"
             " service \"a\" { factor = 0.999999 }\n"
             " discount \"b\" { from = 01:00 to = 02:00 factor = 0.999999 } }\n",
         "3: model \"m\": a price times its factors has too many digits; write fewer decimals\n"},
        {U M "model \"x\" { input = 1000000 output = 0 currency = CNY }\n"
             "channel \"a\" { use = u multiplier-cny = 1 }\n"
             "channel \"b\" { use = u multiplier-cny = 10000 }\n",
         "3: model \"x\": its prices are too large to be charged at the multiplier of channel "
         "\"b\"\n"},
        {U C "service \"s\" { factor = 2 }\n", "3: unknown section \"service\"\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void
test_missing(void **state)
{
    static const struct faulty cases[] = {
        {"upstream \"u\" { }\nmodel \"m\" { }\nchannel \"c\" { }\nauto \"a\" { }\n",
         "1: upstream \"u\": protocol is not stated\n"
         "1: upstream \"u\": url is not stated\n"
         "2: model \"m\": input is not stated; 0 is free\n"
         "2: model \"m\": output is not stated; 0 is free\n"
         "3: channel \"c\": use is not stated\n"
         "4: auto \"a\": models is not stated\n"},
        {U C "model \"m\" { input = 1 output = 2 context = 10 max-output = 11\n"
             " tier \"a\" { input = 3 }\n tier \"b\" { above = 5 }\n"
             " tier \"c\" { above = 4 output = 1 }\n"
             " tier \"d\" { above = 5 inclusive = true output = 1 }\n}\n",
         "3: max-output: 11 is more than the context of 10\n"
         "4: tier \"a\": above is not stated\n"
         "5: tier \"b\": states no price\n"
         "6: tier \"c\": starts before tier \"b\", which stands above it; write tiers from the "
         "smallest context to the largest\n"
         "7: tier \"d\": starts where tier \"c\" does\n"},
        {U M "channel \"c\" { use = {} weights = {} }\nmodel \"x\" { input = 0 output = 0\n"
             " can = {} alias = {} }\nauto \"a\" { models = {} }\n",
         "3: use: the list is empty; leave the key out instead\n"
         "3: channel \"c\": use is not stated\n"
         "6: models: the list is empty; leave the key out instead\n"
         "6: auto \"a\": models is not stated\n"},
        {"", "1: warning: nothing can be served: there is no upstream section\n"},
        {U, "1: warning: nothing can be served: there is no model section\n"
            "1: warning: upstream \"u\": no channel uses it\n"},
        {U M "channel \"c\" { use = u public = no }\nmodel \"n\" { input = 0 output = 0 }\n"
             "upstream \"v\" { protocol = gemini url = \"https://v.example\" models = {m, \"x*\", "
             "mm} }\n",
         "1: warning: no channel is public: every key must name its channels\n"
         "5: warning: models: \"x*\" matches no model of this file; " NO_MODEL "\n"
         "5: warning: models: \"mm\" matches no model of this file; did you mean \"m\"?\n"
         "5: warning: upstream \"v\": no channel uses it\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void
test_references(void **state)
{
    static const struct faulty cases[] = {
        {U M "upstream \"anthropic-main\" { protocol = anthropic url = \"https://a.example\" }\n"
             "channel \"c\" {\n use = {u, \"antropic-main\", u, \"x\"}\n"
             " weights = {\"u=1\", \"u=2\", \"anthropic-main=1\", \"y=1\", \"u\", \"u=-1\",\n"
             "  \"u=1000001\"}\n}\n",
         "5: use: no upstream \"antropic-main\"; did you mean \"anthropic-main\"?\n"
         "5: use: \"u\" is there twice\n"
         "5: use: no upstream \"x\"\n"
         "6: weights: \"u\" is weighed twice\n"
         "6: weights: this channel does not use \"anthropic-main\"\n"
         "6: weights: no upstream \"y\"\n"
         "6: weights: \"u\" is not a pair UPSTREAM=N with N from 0 to 1000000\n"
         "6: weights: \"u=-1\" is not a pair UPSTREAM=N with N from 0 to 1000000\n"
         "7: weights: \"u=1000001\" is not a pair UPSTREAM=N with N from 0 to 1000000\n"},
        {M C "upstream \"u\" { protocol = openai url = \"https://u.example\" models = {m}\n"
             " rename = {\"m=x\", \"mm=x\", \"m=y\", \"n=z\", \"m=\", \"=m\", \"m\"} }\n"
             "model \"n\" { input = 0 output = 0 }\n",
         "4: rename: no model \"mm\"; did you mean \"m\"?\n"
         "4: rename: \"m\" is renamed twice\n"
         "4: rename: \"n\" is not among the models that this upstream serves\n"
         "4: rename: \"m=\" is not a pair MODEL=NAME\n"
         "4: rename: \"=m\" is not a pair MODEL=NAME\n"
         "4: rename: \"m\" is not a pair MODEL=NAME\n"},
        {U C "model \"claude-sonnet\" { input = 0 output = 0 alias = {\"sonnet\"} }\n"
             "auto \"auto\" { models = {\"claud-sonnet\", \"sonnet\", \"gpt-*\", \"claude-*\"} }\n",
         "4: models: \"claud-sonnet\" matches no model of this file; did you mean "
         "\"claude-sonnet\"?\n"
         "4: models: \"sonnet\" matches no model of this file; did you mean \"claude-sonnet\"?\n"
         "4: warning: models: \"gpt-*\" matches no model of this file; " NO_MODEL "\n"},
        /* While the grammar is wrong, nothing is said of what may just not have been read. */
        {U M "channel \"c\" { use = {nobody} }\n}\n", "4: syntax: this \"}\" closes nothing\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

#define NOT_PUBLIC "is not a public address; set local = true to allow it\n"
#define URL(url, more) "upstream \"u\" { protocol = openai url = \"" url "\" " more " }\n" M C

static void
test_urls(void **state)
{
    static const struct faulty cases[] = {
        {URL("https://u.example", ""), ""},
        {URL("https://u.example:8443/v1/", ""), ""},
        {URL("https://[2606:4700::1111]:8443/v1", ""), ""},
        {URL("http://127.0.0.1:8081/v1", "local = true"), ""},
        {URL("http://box:8081", "local = true"), ""},
        {URL("https://", ""), "1: url: the URL has no host\n"},
        {URL("https:///v1", ""), "1: url: the URL has no host\n"},
        {URL("ftp://u.example", ""), "1: url: the URL starts with neither https:// nor http://\n"},
        {URL("u.example", ""), "1: url: the URL starts with neither https:// nor http://\n"},
        {URL("HTTPS://u.example", ""),
         "1: url: the URL starts with neither https:// nor http://\n"},
        {URL("http://u.example/v1", ""),
         "1: url: keys and prompts would go unencrypted; write https://, or set local = true\n"},
        {URL("https://127.0.0.1", ""),
         "1: url: 127.0.0.1 " NOT_PUBLIC},
        {URL("https://[::1]", ""),
         "1: url: ::1 " NOT_PUBLIC},
        {URL("https://[::ffff:127.0.0.1]", ""), "1: url: ::ffff:127.0.0.1 " NOT_PUBLIC},
        {URL("https://[64:ff9b::7f00:1]", ""), "1: url: 64:ff9b::7f00:1 " NOT_PUBLIC},
        {URL("https://[64:ff9b::7f00:1]", "local = true"), ""},
        {URL("https://[2002:7f00:1::]", ""), "1: url: 2002:7f00:1:: " NOT_PUBLIC},
        {URL("https://224.0.0.1", ""), "1: url: 224.0.0.1 " NOT_PUBLIC},
        {URL("https://8.8.8.8", ""), ""},
        {URL("https://localhost", ""),
         "1: url: localhost " NOT_PUBLIC},
        {URL("https://me:secret@u.example", ""),
         "1: url: the URL holds a user name; keys come by key-env, key-file or key-credential\n"},
        {URL("https://u.example/?key=1", ""), "1: url: the URL holds a query; leave out the ? and what follows\n"},
        {URL("https://u.example?", ""), "1: url: the URL holds a query; leave out the ? and what follows\n"},
        {URL("https://u.example/#x", ""), "1: url: the URL holds a fragment; leave out the # and what follows\n"},
        {URL("https://u.example:0", ""),
         "1: url: the URL's port is not a number from 1 to 65535\n"},
        {URL("https://u.example:", ""), "1: url: the URL's port is not a number from 1 to 65535\n"},
        {URL("https://u.example:65536", ""),
         "1: url: the URL's port is not a number from 1 to 65535\n"},
        {URL("https://2130706433", ""),
         "1: url: the URL's host is a number but not an IPv4 address\n"},
        {URL("https://0x7f.1", ""), "1: url: the URL's host is a number but not an IPv4 address\n"},
        {URL("https://127.1", ""), "1: url: the URL's host is a number but not an IPv4 address\n"},
        {URL("https://u..example", ""), "1: url: the URL's host is not a host name\n"},
        {URL("https://u_\\x20.example", ""), "1: url: the URL's host is not a host name\n"},
        {URL("https://[::g]", ""), "1: url: the URL's host is not an IPv6 address\n"},
        {URL("https://[::1", ""), "1: url: the URL's host is not an IPv6 address\n"},
        {URL("https://u.example/a//b", ""), "1: url: the URL's path has empty or dotted parts\n"},
        {URL("https://u.example/a/..", ""), "1: url: the URL's path has empty or dotted parts\n"},
        {URL("https://u.example/a b", ""),
         "1: url: the URL's path holds a byte that must be written as %XX\n"},
        {URL("", ""), "1: url: the value is empty\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void
test_keys(void **state)
{
    static const struct faulty cases[] = {
        {URL("https://u.example", "key-env = \"A\" key-file = \"/x\"\nkey-credential = \"c\""),
         "1: key-file: the key comes from key-env already; name one source\n"
         "2: key-credential: the key comes from key-env already; name one source\n"},
        {URL("https://u.example", "key-env = \"sk-not-a-name\""),
         "1: key-env: this is not the name of an environment variable; the key itself does not "
         "belong in this file\n"},
        {URL("https://u.example", "key-credential = \"../x\""),
         "1: key-credential: this is not the name of a credential\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

#define POOL(more) "upstream \"u\" { protocol = openai url = \"https://u.example\"\n" more "}\n" M C

static void
test_credentials(void **state)
{
    static const struct faulty cases[] = {
        {POOL(" credential \"a\" { }\n credential \"b\" { rpm = 3 }\n"),
         "2: credential \"a\" of upstream \"u\": names no key; add key-env, key-file or "
         "key-credential\n"
         "3: credential \"b\" of upstream \"u\": names no key; add key-env, key-file or "
         "key-credential\n"},
        {POOL(" key-env = A\n credential \"a\" { key-env = A\n key-file = \"a\" }\n"),
         "2: key-env: upstream \"u\" has credential sections; the keys stand in these\n"
         "4: key-file: the key comes from key-env already; name one source\n"},
        {POOL(" credential \"a\" { key-env = A }\n credential \"b\" { key-env = B }\n"
              " credential \"a\" { key-env = C }\n credential \"c d\" { key-env = D }\n"),
         "4: credential \"a\" is there twice in its upstream\n"
         "5: credential \"c d\": a name has letters, digits and . _ - only\n"},
        {POOL(" credential \"a\" { key-env = \"sk-123\" key-credentials = x\n rpm = -1\n"
              " concurency = 3\n weight = 1001 }\n"),
         "2: unknown name \"key-credentials\" in credential \"a\"; did you mean "
         "\"key-credential\"?\n"
         "2: key-env: this is not the name of an environment variable; the key itself does not "
         "belong in this file\n"
         "3: rpm: -1 is negative; at least 0\n"
         "4: unknown name \"concurency\" in credential \"a\"; did you mean \"concurrency\"?\n"
         "5: weight: 1001 is too large: at most 1000\n"},
        {POOL(" rpm = 10000001\n tpm = 4000000001\n concurrency = many\n"),
         "2: rpm: 10000001 is too large: at most 10000000\n"
         "3: tpm: 4000000001 is too large: at most 4000000000\n"
         "4: concurrency: \"many\" is not a number; write digits\n"},
        {U M C "credential \"a\" { key-env = A }\n limits { queue = 16385\n queue-time = 2h }\n",
         "4: unknown section \"credential\"\n"
         "5: queue: 16385 is too large: at most 16384\n"
         "6: queue-time: 2h is too large: at most 1h\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void
test_too_many_credentials(void **state)
{
    struct conf_faults faults;
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    buf_add_fmt(&text, "upstream \"u\" { protocol = openai url = \"https://u.example\"\n");
    for (int i = 0; i < 65; i++)
        buf_add_fmt(&text, "credential \"c%d\" { key-env = K%d }\n", i, i);
    buf_add_fmt(&text, "}\n" M C);
    for (int i = 0; i < 16; i++) {
        buf_add_fmt(&text, "upstream \"u%d\" { protocol = openai url = \"https://u.example\"\n", i);
        for (int k = 0; k < 64; k++)
            buf_add_fmt(&text, "credential \"c%d\" { key-env = K%d }\n", k, k);
        buf_add_fmt(&text, "}\n");
    }
    assert_null(conf_load_text(buf_str(&text), "t", &faults));
    assert_int_equal(faults.fault_count, 2);
    assert_string_equal(faults.at[0].message,
                        "upstream \"u\": too many credentials: at most 64");
    assert_string_equal(faults.at[1].message, "upstream \"u15\": too many credentials of all "
                                              "upstreams: at most 1024");
    conf_faults_free(&faults);
    buf_free(&text);
}

static void
test_grammar(void **state)
{
    static const struct faulty cases[] = {
        {"# only a comment", "1: warning: nothing can be served: there is no upstream section\n"},
        {"#\n//\n/* */\n#\n/*\n*/\nlimits {\n#\n foo = 1 }\n" U M C,
         "9: unknown name \"foo\" in limits\n"},
        {"\xef\xbb\xbf" U "\r\n" M C, ""},
        {U M C "limits {\n body = \"32m\n event = 1m\n}\n",
         "5: syntax: this string is never closed: \" is missing\n"},
        {U M C "limits {\n body = '32m\n foo = 1\n}\n",
         "5: syntax: this string is never closed: ' is missing\n"
         "6: unknown name \"foo\" in limits\n"},
        {U M "channel \"c\" {\n use = {\"u\"\n title = \"x\"\n foo = 1 }\n",
         "4: syntax: the list of \"use\" is never closed: \"}\" is missing\n"
         "6: unknown name \"foo\" in channel \"c\"\n"},
        {U M "channel \"c\" {\n use = {\"u\"\n \"v\" \"w\"}\n foo = 1 }\n",
         "4: syntax: \",\" is missing in the list of \"use\"\n"
         "5: syntax: \",\" is missing in the list of \"use\"\n"
         "6: unknown name \"foo\" in channel \"c\"\n"},
        {U M C "limits {\n body = 1m\nmodel \"n\" { input = 0 }\nlimits { foo = 1 }\n",
         "6: syntax: limits of line 4 is not closed before this: \"}\" is missing\n"
         "7: unknown name \"foo\" in limits\n"
         "7: limits is there twice; first in line 4\n"},
        {U M C "limits {\n body = 1m\n", "4: syntax: limits is never closed: \"}\" is missing\n"},
        {U M C "limits { body = 1m }}\n}\n",
         "4: syntax: this \"}\" closes nothing\n5: syntax: this \"}\" closes nothing\n"},
        {U M C "limits {\n body =\n event = 1m\n headers\n header 3k\n foo = 1 }\n",
         "5: syntax: the value of \"body\" is missing\n"
         "7: syntax: \"=\" is missing after \"headers\"\n"
         "8: syntax: \"=\" is missing after \"header\"\n"
         "9: unknown name \"foo\" in limits\n"},
        {U M C "limits { body = }\n", "4: syntax: the value of \"body\" is missing\n"},
        {U M "channel \"c\" { use = u\n weights = {u=1}\n foo = 1 }\n",
         "4: syntax: unexpected \"=\"; quote a value that holds one of = { } ( ) , + # or a blank\n"
         "5: unknown name \"foo\" in channel \"c\"\n"},
        {U M "channel \"c\" { use = u\n title = a=b\n foo = 1 }\n",
         "4: syntax: unexpected \"=\"; quote a value that holds one of = { } ( ) , + # or a blank\n"
         "5: unknown name \"foo\" in channel \"c\"\n"},
        {U M C "model { input = 1 }\nlimits \"x\" { }\nmodel \"n\" \"o\" { }\n",
         "4: syntax: model needs a name in quotes before its \"{\"\n"
         "5: syntax: limits takes no name\n"
         "6: syntax: \"{\" is missing after \"model\"\n"},
        {U M C "limits { body = \"1\\0\" }\n", "4: syntax: a value cannot hold a NUL byte\n"},
        {U M C "limits { body = \"1\\x00\" }\n", "4: syntax: a value cannot hold a NUL byte\n"},
        {U M C "limits { body = \"\\401\" }\nauto \"a\" { models = {\"mm\"} foo = 1 cost = x }\n",
         "4: syntax: invalid octal number '\\401'\n"
         "5: unknown name \"foo\" in auto \"a\"\n"
         "5: cost: \"x\" is not a decimal; write digits with at most six decimals, such as 3.75\n"},
        {U M C "limits { body = \"${X\" }\n",
         "4: syntax: this \"${\" is never closed: \"}\" is missing\n"},
        {U M C "limits { body = 1m \x01 }\n", "4: syntax: byte 0x01 has no place here\n"},
        {U M C "/* never\n\n", "4: syntax: this comment is never closed: \"*/\" is missing\n"},
        {U M C "include(\"x\")\nlimits { include(\"y\") }\ninclude\nfoo(\"x\")\n",
         "4: include() cannot be used here\n"
         "5: include() inside of limits; it stands outside of sections only\n"
         "6: syntax: \"=\" is missing after \"include\"\n"
         "7: syntax: only include(\"FILE\") takes parentheses\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

#define N(name) "model \"" name "\" { input = 0 output = 0 }\n"
#define ONLY_M "upstream \"u\" { protocol = openai url = \"https://u.example\" models = m }\n"

/* Where a price was read, and models that nobody serves: a catalogue of them is one line. */
static void
test_catalogue(void **state)
{
    static const struct faulty cases[] = {
        {U C "model \"m\" { input = 1 output = 2\n source = \"https://m.example/prices\"\n"
             " date = \"2026-02-28\" }\n",
         ""},
        {U C "model \"m\" { input = 1 output = 2\n source = \"m.example\"\n"
             " date = \"28.2.2026\" }\n",
         "4: source: \"m.example\" is not the address of a page, such as https://…\n"
         "5: date: \"28.2.2026\" is not a day, such as 2026-01-31\n"},
        {U C "model \"m\" { input = 1 output = 2 date = \"2026-13-01\" }\n",
         "3: date: \"2026-13-01\" is not a day, such as 2026-01-31\n"},
        {U C "model \"m\" { input = 1 output = 2 date = \"2026-00-01\" }\n",
         "3: date: \"2026-00-01\" is not a day, such as 2026-01-31\n"},
        {U C "model \"m\" { input = 1 output = 2 date = \"2026-1-01x\" }\n",
         "3: date: \"2026-1-01x\" is not a day, such as 2026-01-31\n"},
        {ONLY_M C M N("a") N("b") N("c") N("d") N("e"),
         "4: warning: model \"a\": no channel serves it\n"
         "5: warning: model \"b\": no channel serves it\n"
         "6: warning: model \"c\": no channel serves it\n"
         "7: warning: model \"d\": no channel serves it\n"
         "8: warning: model \"e\": no channel serves it\n"},
        {ONLY_M C N("a") N("b") M N("c") N("d") N("e") N("f"),
         "3: warning: model \"a\" and 5 more models of this file: no channel serves them\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

/* The message holds what the file held, but stays one line of bounded length. */
static void
test_hostile_text(void **state)
{
    struct conf_faults faults;
    struct buf text;
    struct conf *conf;

    (void)state;
    buf_init(&text, 1 << 24);
    buf_add_str(&text, STR("model \"a\\nb\\x1b[31m\" { foo = 1 }\nlimits { body = \""));
    for (int i = 0; i < 100000; i++)
        buf_add_char(&text, 'x');
    buf_add_str(&text, STR("\" }\n"));
    for (int i = 0; i < 3000; i++)
        buf_add_fmt(&text, "a%d { b { c { \n", i);
    conf = conf_load_text(buf_str(&text), "t", &faults);
    assert_null(conf);
    assert_true(faults.count > 3 && faults.count <= 500);
    assert_true(faults.fault_count >= faults.count);
    for (size_t i = 0; i < faults.count; i++) {
        assert_true(strlen(faults.at[i].message) < 1024);
        for (const char *c = faults.at[i].message; *c != '\0'; c++)
            assert_true((unsigned char)*c >= 0x20);
    }
    conf_faults_free(&faults);
    conf_faults_free(&faults);
    text.len = 0;
    for (int i = 0; i < 200000; i++)
        buf_add_str(&text, STR("a {"));
    assert_null(conf_load_text(buf_str(&text), "t", &faults));
    conf_faults_free(&faults);
    text.len = 0;
    for (int i = 0; i < 1000000; i++)
        buf_add_str(&text, STR("limits"));
    assert_null(conf_load_text(buf_str(&text), "t", &faults));
    assert_string_equal(faults.at[0].message, "larger than 4 MiB");
    conf_faults_free(&faults);
    buf_free(&text);
}

static void
test_too_many(void **state)
{
    struct conf_faults faults;
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 22);
    for (int i = 0; i < CONF_CHANNEL_COUNT_MAX + 2; i++)
        buf_add_fmt(&text, "channel \"c%d\" { use = u }\n", i);
    buf_add_str(&text, STR(U M));
    assert_null(conf_load_text(buf_str(&text), "t", &faults));
    assert_int_equal(faults.count, 1);
    assert_int_equal(faults.at[0].line, CONF_CHANNEL_COUNT_MAX + 1);
    assert_string_equal(faults.at[0].message, "too many channel sections: at most 256");
    conf_faults_free(&faults);
    text.len = 0;
    buf_add_str(&text, STR(U C "model \"m\" { input = 1 output = 1\n"));
    for (int i = 0; i < CONF_TIER_COUNT_MAX + 1; i++)
        buf_add_fmt(&text, "tier \"t%d\" { above = %d input = 2 }\n", i, i + 1);
    buf_add_str(&text, STR("}"));
    assert_null(conf_load_text(buf_str(&text), "t", &faults));
    assert_string_equal(faults.at[0].message, "model \"m\": too many tiers: at most 8");
    conf_faults_free(&faults);
    buf_free(&text);
}

static void
test_probes(void **state)
{
    static const struct faulty cases[] = {
        {"upstream \"u\" { protocol = openai url = \"https://u.example\" probe = 30s }\n" M C, ""},
        {"upstream \"u\" { protocol = {gemini, responses} url = \"https://u.example\"\n"
         " probe = 30s probe-model = \"m\" }\n" M C,
         ""},
        {"upstream \"u\" { protocol = openai url = \"https://u.example\"\n"
         " probe-model = \"m\" }\n" M C,
         "2: warning: probe-model: nothing is probed without probe\n"},
    };

    (void)state;
    CHECK_ALL(cases);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_probes),    cmocka_unit_test(test_types),
        cmocka_unit_test(test_prices),
        cmocka_unit_test(test_missing),  cmocka_unit_test(test_references),
        cmocka_unit_test(test_urls),     cmocka_unit_test(test_keys),
        cmocka_unit_test(test_credentials), cmocka_unit_test(test_too_many_credentials),
        cmocka_unit_test(test_grammar),  cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_too_many), cmocka_unit_test(test_catalogue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
