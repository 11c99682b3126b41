/* Sound in a request, as both of OpenAI's protocols have it: data, and one of two formats. */
#include "base/jw.h"
#include "base/str.h"
#include "proto/codec_in.h"

struct js_value
codec_sound_type(struct js_value format)
{
    if (js_str_eq(format, STR("wav")))
        return chat_literal("audio/wav");
    if (js_str_eq(format, STR("mp3")))
        return chat_literal("audio/mp3");
    return (struct js_value){.type = JS_NONE};
}

static const char *
format_of(struct js_value media_type)
{
    static const struct {
        struct str media_type;
        const char *format;
    } known[] = {
        {{"audio/wav", 9}, "wav"},    {{"audio/x-wav", 11}, "wav"}, {{"audio/wave", 10}, "wav"},
        {{"audio/mpeg", 10}, "mp3"},  {{"audio/mp3", 9}, "mp3"},
    };

    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (media_type.type == JS_STRING && str_eq_nocase(media_type.raw, known[i].media_type))
            return known[i].format;
    return NULL;
}

bool
codec_write_sound(const struct chat_request *r, const struct chat_part *part, struct jw *jw,
                  struct proto_error *error)
{
    const char *format = format_of(part->media_type);

    if (part->source != CHAT_SOURCE_DATA)
        return chat_refuse(r, part->at, error,
                           "the model's server fetches no audio: send the data");
    if (format == NULL)
        return chat_refuse(r, part->at, error, "the model takes audio only as wav or mp3");
    jw_object(jw);
    jw_key_cstr(jw, "type", "input_audio");
    jw_key(jw, "input_audio");
    jw_object(jw);
    jw_key_js(jw, "data", part->data);
    jw_key_cstr(jw, "format", format);
    jw_object_end(jw);
    jw_object_end(jw);
    return true;
}
