/*
 * The client's side of the older completions: a prompt that is one user's message, an answer that
 * is its text. What only a model without a chat can do (an end to write towards, the prompt's own
 * tokens) is refused; so is more than one prompt, which would be several conversations.
 */
#include "base/str.h"
#include "proto/openai_in.h"

static const struct openai_shape shape = {"cmpl-", "text_completion"};

/* The prompt's one string. */
static bool
read_prompt(const struct chat_request *r, struct js_value prompt, struct js_value *text,
            struct proto_error *error)
{
    struct js_value key, more;
    struct js_iter it;

    *text = prompt;
    if (prompt.type == JS_NONE)
        return chat_refuse(r, r->document, error, "prompt is missing");
    if (prompt.type == JS_ARRAY) {
        js_iter_init(&it, prompt);
        if (!js_next(&it, &key, text))
            return chat_refuse(r, prompt, error, "must not be empty");
        if (text->type == JS_NUMBER || text->type == JS_ARRAY)
            return chat_refuse(r, prompt, error, "must be text: the model takes no tokens");
        if (js_next(&it, &key, &more))
            return chat_refuse(r, more, error, "the model takes one prompt at a time");
    }
    if (text->type != JS_STRING)
        return chat_refuse(r, *text, error, "must be a string");
    return true;
}

/* What cannot be asked of a chat. */
static bool
read_others(struct chat_request *r, const struct js_value values[OPENAI_FIELD_COUNT],
            struct proto_error *error)
{
    struct js_value suffix = values[OPENAI_SUFFIX], echo = values[OPENAI_ECHO];
    uint32_t best_of = 1, logprobs = 0;
    bool echoed;

    if (!codec_want(r, suffix, JS_STRING, error) || !codec_want_bool(r, echo, &echoed, error) ||
        !codec_want_count(r, values[OPENAI_BEST_OF], 1, CODEC_CHOICES_MAX, &best_of, error) ||
        !codec_want_count(r, values[OPENAI_LOGPROBS], 0, 5, &logprobs, error))
        return false;
    if (suffix.type == JS_STRING && suffix.raw.len > 0)
        return chat_refuse(r, suffix, error, "the model cannot write towards an end");
    if (echoed)
        return chat_refuse(r, echo, error, "the model does not repeat the prompt");
    if (best_of > r->choice_count)
        return chat_refuse(r, values[OPENAI_BEST_OF], error,
                           "the model's server does not choose the best of several");
    /* Of 0 as well: it asks for those of the tokens that were chosen. */
    if (values[OPENAI_LOGPROBS].type != JS_NONE)
        return chat_refuse(r, values[OPENAI_LOGPROBS], error,
                           "the model's server has no logprobs in this form");
    return true;
}

static bool
completions_request_read(struct chat_request *r, struct proto_error *error)
{
    struct js_value values[OPENAI_FIELD_COUNT], text;
    struct chat_message **end = &r->messages, *message;
    struct chat_part **parts, *part;

    openai_fields(r, values);
    if (!openai_read_common(r, values, error) || !read_others(r, values, error) ||
        !read_prompt(r, values[OPENAI_PROMPT], &text, error))
        return false;
    message = chat_message_add(r, &end, CHAT_USER, values[OPENAI_PROMPT]);
    if (message == NULL)
        return chat_no_room(error);
    parts = &message->parts;
    part = chat_part_add(r, &parts, CHAT_PART_TEXT, text);
    if (part == NULL)
        return chat_no_room(error);
    part->text = text;
    return true;
}

/* ---- the answer ---- */

/* Reasons as they were before there were calls. */
static const char *
finish_name(enum chat_finish finish)
{
    const char *name = openai_finish_name(finish, true);

    return finish == CHAT_FINISH_CALLS ? "stop" : name;
}

static void
write_chunk(const struct codec_writer *writer, uint32_t choice, struct str text,
            const char *finish, struct buf *out)
{
    struct jw jw;

    buf_add_str(out, STR("data: "));
    jw_init(&jw, out);
    openai_write_head(&jw, &shape, writer->frame, openai_model(writer));
    jw_key(&jw, "choices");
    jw_array(&jw);
    jw_object(&jw);
    jw_key_quoted(&jw, "text", text);
    jw_key_u64(&jw, "index", choice);
    jw_key(&jw, "logprobs");
    jw_null(&jw);
    jw_key_cstr(&jw, "finish_reason", finish);
    jw_object_end(&jw);
    jw_array_end(&jw);
    openai_write_tail(&jw, writer->frame, NULL);
}

static void
completions_delta_write(struct codec_writer *writer, const struct chat_delta *delta,
                        struct buf *out)
{
    switch (delta->kind) {
    case CHAT_DELTA_START: openai_keep_model(writer, delta); break;
    case CHAT_DELTA_TEXT:
    case CHAT_DELTA_REFUSAL: /* it is what the model says */
        if (delta->text.len > 0)
            write_chunk(writer, delta->choice, delta->text, NULL, out);
        break;
    case CHAT_DELTA_FINISH:
        write_chunk(writer, delta->choice, STR(""), finish_name(delta->finish), out);
        break;
    case CHAT_DELTA_PING: buf_add_str(out, STR(": ping\n\n")); break;
    case CHAT_DELTA_USAGE: writer->usage = *delta->usage; break;
    case CHAT_DELTA_END: openai_write_end(writer, &shape, out); break;
    case CHAT_DELTA_REASONING:
    case CHAT_DELTA_SIGNATURE:
    case CHAT_DELTA_CALL:
    case CHAT_DELTA_ARGUMENTS:
    case CHAT_DELTA_CALL_END:
    case CHAT_DELTA_KIND_COUNT: break;
    }
}

static void
completions_answer_write(const struct chat_answer *answer, const struct chat_frame *frame,
                         struct buf *out)
{
    struct str model = answer->model.type == JS_STRING && answer->model.raw.len > 0
                           ? answer->model.raw
                           : frame->model;
    struct jw jw;

    jw_init(&jw, out);
    openai_write_head(&jw, &shape, frame, model);
    jw_key(&jw, "choices");
    jw_array(&jw);
    for (const struct chat_answer_choice *c = answer->choices; c != NULL; c = c->next) {
        jw_object(&jw);
        jw_key(&jw, "text");
        jw_raw(&jw, STR("\""));
        for (const struct chat_part *p = c->parts; p != NULL; p = p->next)
            if ((p->kind == CHAT_PART_TEXT || p->kind == CHAT_PART_REFUSAL) &&
                p->text.type == JS_STRING && p->text.raw.len > 0)
                buf_add_str(out, p->text.raw);
        buf_add_char(out, '"');
        jw_key_u64(&jw, "index", c->index);
        jw_key(&jw, "logprobs");
        jw_null(&jw);
        jw_key_cstr(&jw, "finish_reason", finish_name(c->finish));
        jw_object_end(&jw);
    }
    jw_array_end(&jw);
    openai_write_usage(&jw, &answer->usage);
    jw_object_end(&jw);
}

const struct codec completions_codec = {
    .request_read = completions_request_read,
    .delta_write = completions_delta_write,
    .answer_write = completions_answer_write,
};
