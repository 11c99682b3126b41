/*
 * mock: a model provider made of string tables, to try and to test a gateway on. It speaks the protocols of OpenAI,
 * Anthropic and Gemini, answers the same request with the same words, counts what it really produced, and misbehaves on
 * request. README.md here says all of it.
 *
 * A program within the program: `turnpike mock`, and the tests' sim-upstream, are this one function. The room knows
 * nothing of the others but base/, and they know nothing of it: when it is linked, mock_main() is the only name that
 * it shows.
 */
#ifndef MOCK_MOCK_H
#define MOCK_MOCK_H

/*
 * argv[0] is skipped. Listens on listen_default ("127.0.0.1:8081") unless the options say otherwise. Serves until a
 * signal ends it; returns, with the exit status, only when it does not come to that. help() is what --help does.
 */
int mock_main(int argc, char **argv, const char *listen_default, void (*help)(void));

#endif
