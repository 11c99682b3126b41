#include "bench/load/request.h"
#include "bench/load/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *
body_make(void)
{
    char *body = NULL, *filler;
    const char *stream = opt.mode == MODE_STREAM || opt.mode == MODE_HOLD ? ",\"stream\":true" : "";
    int len, fixed;

    if (opt.body != NULL)
        return strdup(opt.body);
    const char *before = opt.sim != NULL ? ",\"sim\":" : "";
    const char *sim = opt.sim != NULL ? opt.sim : "";
    fixed = snprintf(NULL, 0,
                     "{\"model\":\"%s\"%s,\"max_tokens\":4096,\"messages\":[{\"role\":\"user\","
                     "\"content\":\"\"}]%s%s}",
                     opt.model, stream, before, sim);
    size_t pad = opt.body_bytes > (uint64_t)fixed ? opt.body_bytes - (size_t)fixed : 1;
    filler = malloc(pad + 1);
    if (filler == NULL)
        fail("body");
    for (size_t i = 0; i < pad; i++)
        filler[i] = i % 6 == 5 ? ' ' : (char)('a' + i * 7 % 26);
    filler[pad] = '\0';
    len = asprintf(&body,
                   "{\"model\":\"%s\"%s,\"max_tokens\":4096,\"messages\":[{\"role\":\"user\","
                   "\"content\":\"%s\"}]%s%s}",
                   opt.model, stream, filler, before, sim);
    free(filler);
    if (len < 0)
        fail("body");
    return body;
}

char *
request_make(size_t *len_out)
{
    char *body = opt.get ? strdup("") : body_make();
    char headers[4096] = "";
    size_t used = 0;

    if (opt.key != NULL)
        used += (size_t)snprintf(headers, sizeof(headers), "authorization: Bearer %s\r\n", opt.key);
    for (size_t i = 0; i < opt.header_count && used < sizeof(headers); i++)
        used += (size_t)snprintf(headers + used, sizeof(headers) - used, "%s\r\n", opt.headers[i]);
    char *request;
    int len = opt.get ? asprintf(&request, "GET %s HTTP/1.1\r\nhost: %s\r\n%s\r\n", opt.path,
                                 opt.host, headers)
                      : asprintf(&request,
                                 "POST %s HTTP/1.1\r\nhost: %s\r\n%scontent-type: "
                                 "application/json\r\ncontent-length: %zu\r\n\r\n%s",
                                 opt.path, opt.host, headers, strlen(body), body);
    if (len < 0 || used >= sizeof(headers))
        fail("request");
    *len_out = (size_t)len;
    free(body);
    return request;
}

void
request_draw(char *request)
{
    static uint64_t state = 88172645463325252u;
    static char *digits;
    char text[KEY_DIGITS + 1];

    if (opt.keys == 0)
        return;
    if (digits == NULL)
        digits = strstr(request, opt.key) + strlen(opt.key) - KEY_DIGITS;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    snprintf(text, sizeof(text), "%010u", (unsigned)(state >> 33) % opt.keys + 1);
    memcpy(digits, text, KEY_DIGITS);
}
