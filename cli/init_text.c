#include "cli/init.h"

#include <string.h>

#include "base/str.h"
#include "cli/shipped.h"

const struct init_maker init_makers[] = {
    {"openai", NULL, "OpenAI", "openai", "OPENAI_API_KEY", "OpenAI", "gpt-*", "gpt-5-nano"},
    {"anthropic", "claude", "Anthropic", "anthropic", "ANTHROPIC_API_KEY", "Anthropic", "claude-*",
     "claude-haiku-4.5"},
    {"gemini", "google", "Google", "google", "GEMINI_API_KEY", "Google", "gemini-*",
     "gemini-2.5-flash-lite"},
    {"deepseek", NULL, "DeepSeek", "deepseek", "DEEPSEEK_API_KEY", "DeepSeek", "deepseek-*",
     "deepseek-flash"},
    {"mistral", NULL, "Mistral", "mistral", "MISTRAL_API_KEY", "Mistral", "m*stral-*",
     "ministral-3b-2512"},
    {"moonshot", "kimi", "Moonshot", "moonshot", "MOONSHOT_API_KEY", "Moonshot", "kimi-*",
     "kimi-k2.6"},
    {"alibaba", "qwen", "Alibaba", "alibaba", "DASHSCOPE_API_KEY", "Alibaba", "qwen*",
     "qwen3.7-flash"},
    {"zhipu", "glm", "Zhipu", "zhipu", "ZHIPU_API_KEY", "Zhipu", "glm-*", "glm-4.7-flash"},
    {"xai", "grok", "xAI", "xai", "XAI_API_KEY", "xAI", "grok-*", "grok-code-fast-1"},
    {"mock", "sim", "The simulated upstream", "sim", NULL, NULL, "sim-*", "sim-small"},
    {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL},
};
_Static_assert(COUNT_OF(init_makers) - 1 <= INIT_MAKERS_MAX, "each may be chosen");

const struct init_maker *
init_maker_of(struct str name)
{
    for (const struct init_maker *maker = init_makers; maker->name != NULL; maker++)
        if (str_eq_nocase(name, str_from(maker->name)) ||
            (maker->alias != NULL && str_eq_nocase(name, str_from(maker->alias))))
            return maker;
    return NULL;
}

const char *
init_maker_names(void)
{
    static char names[256];
    size_t len = 0;

    for (const struct init_maker *maker = init_makers; maker->name != NULL; maker++) {
        if (maker != init_makers)
            len += str_copy(STR(", "), names + len, sizeof(names) - len);
        len += str_copy(str_from(maker->name), names + len, sizeof(names) - len);
    }
    return names;
}

static void
heading(struct buf *out, const char *title)
{
    buf_add_fmt(out, "\n\n# ---- %s ", title);
    for (size_t at = strlen(title) + 8; at < 100; at++)
        buf_add_char(out, '-');
    buf_add_char(out, '\n');
}

/* A string of the file: backslashes and quotes escaped. */
static void
quoted(struct buf *out, const char *text)
{
    buf_add_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, *text);
    }
    buf_add_char(out, '"');
}

/* A section with the source of its key changed to what was chosen. */
static void
upstream_text(struct buf *out, const struct init_source *source, struct str section)
{
    while (section.ptr != NULL) {
        struct str line = str_split(section, '\n', &section);

        if (!str_starts_with(str_trim(line), STR("key-env"))) {
            buf_add_str(out, line);
        } else if (source->key_file[0] != '\0') {
            buf_add_fmt(out, "    key-file = ");
            quoted(out, source->key_file);
        } else {
            buf_add_fmt(out, "    key-env  = ");
            quoted(out, source->key_env);
        }
        buf_add_char(out, '\n');
    }
}

static void
upstreams_text(struct buf *out, const struct init_plan *plan)
{
    heading(out, "upstreams");
    buf_add_fmt(out,
                "#\n"
                "# One way to reach a provider each: address, protocol, and where its key is to be found. The\n"
                "# key itself never stands here. Calls of other protocols are translated.\n");
    for (unsigned i = 0; i < plan->source_count; i++) {
        struct str routes = shipped_routes();
        const struct init_maker *maker = plan->source[i].maker;

        buf_add_fmt(out, "\n# %s\n", maker->title);
        for (;;) {
            struct str section = shipped_section(&routes, "upstream", maker->upstream);

            if (section.ptr == NULL)
                break;
            upstream_text(out, &plan->source[i], section);
        }
    }
}

/* The quoted names of all upstreams, with commas. */
static void
names_text(struct buf *out, const struct init_plan *plan)
{
    bool first = true;

    for (unsigned i = 0; i < plan->source_count; i++) {
        struct str routes = shipped_routes();

        for (;;) {
            struct str section = shipped_section(&routes, "upstream", plan->source[i].maker->upstream);
            struct str rest, name;

            if (section.ptr == NULL)
                break;
            (void)str_split(section, '"', &rest);
            name = str_split(rest, '"', &rest);
            buf_add_fmt(out, "%s\"%.*s\"", first ? "" : ", ", STR_ARGS(name));
            first = false;
        }
    }
}

static void
channel_text(struct buf *out, const struct init_plan *plan)
{
    heading(out, "channels");
    buf_add_fmt(out,
                "#\n"
                "# A service tier: which upstreams, and how many credits a unit of list price costs. Here a credit is\n"
                "# one US dollar at the providers' list prices; with multiplier = 1.2 you earn a fifth on top. A\n"
                "# yuan is taken for 0.14 dollars.\n"
                "\n"
                "channel \"main\" {\n"
                "    title      = \"Main\"\n"
                "    multiplier = 1\n"
                "    multiplier-cny = 0.14\n"
                "    use        = {");
    names_text(out, plan);
    buf_add_fmt(out, "}\n"
                     "    public     = true    # every key may use it, unless it names others\n"
                     "}\n");
}

static void
auto_text(struct buf *out, const struct init_plan *plan)
{
    heading(out, "auto");
    buf_add_fmt(out, "#\n"
                     "# Callers who ask for the model \"auto\" get the best of these, by the weights below.\n"
                     "\n"
                     "auto \"auto\" {\n"
                     "    models  = {");
    for (unsigned i = 0; i < plan->source_count; i++)
        buf_add_fmt(out, "%s\"%s\"", i > 0 ? ", " : "", plan->source[i].maker->autos);
    buf_add_fmt(out, "}\n"
                     "    latency = 0.3    cost = 0.4    quality = 0.3\n"
                     "}\n");
}

static void
limits_text(struct buf *out)
{
    heading(out, "limits");
    buf_add_fmt(out, "#\n"
                     "# What clients may take. All of it has a default; routes.conf(5) lists the rest.\n"
                     "\n"
                     "limits {\n"
                     "    body        = 32m      # of a request\n"
                     "    connections = 20000    # of clients\n"
                     "    hold-output = 4096     # tokens held for, where neither caller nor model has a cap\n"
                     "}\n");
}

static void
models_text(struct buf *out, const struct init_maker *maker)
{
    struct str routes = shipped_routes();

    buf_add_char(out, '\n');
    if (maker->chapter != NULL) {
        buf_add_str(out, shipped_chapter(maker->chapter));
        return;
    }
    for (;;) {
        struct str section = shipped_section(&routes, "model", maker->upstream);

        if (section.ptr == NULL)
            return;
        buf_add_str(out, section);
        buf_add_char(out, '\n');
    }
}

void
init_text(struct buf *out, const struct init_plan *plan)
{
    buf_add_fmt(out,
                "# routes.conf: where turnpike sends calls, and what they cost. Written by turnpike init; yours\n"
                "# to change.\n"
                "#\n"
                "#   turnpike check     finds what is wrong, with file and line\n"
                "#   turnpike reload    brings a change into force without losing a call\n"
                "#   turnpike models    shows the models and what they cost\n"
                "#   turnpike doctor    looks whether machine and providers are fit for it\n"
                "#   man routes.conf    says what every name means\n"
                "#\n"
                "# Durations take ms s m h, sizes k m g, prices are decimals per 1,000,000 tokens.\n");
    upstreams_text(out, plan);
    channel_text(out, plan);
    auto_text(out, plan);
    limits_text(out);
    heading(out, "models");
    buf_add_fmt(out,
                "#\n"
                "# What callers ask for, and what the makers charge for it, by \"source\" on the day of \"date\": check\n"
                "# before you charge anybody by them. Without cache-read or cache-write such tokens cost what\n"
                "# input does; \"quality\" is a rough order for model \"auto\", and yours to change.\n");
    for (unsigned i = 0; i < plan->source_count; i++)
        models_text(out, plan->source[i].maker);
}
