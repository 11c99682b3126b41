/*
 * A full-screen view on the terminal: the alternate screen, keys as they are pressed, its size as it changes.
 * The terminal is as it was after every end that a process notices: by the caller, by a signal, by a
 * fault of our own; and while it is stopped (Ctrl-Z).
 *
 * Plain sequences that every terminal of the last decades has, and no library of screens: a view is written
 * anew as a whole, from the top, and nothing on it is edited.
 */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include "base/base.h"
#include "base/buf.h"

enum screen_event {
    SCREEN_TIME = 0, /* the time is over */
    SCREEN_KEY,      /* *key was pressed */
    SCREEN_CHANGED,  /* another size, or back from a stop: draw anew */
    SCREEN_END,      /* the terminal is gone, or we were asked to end by Ctrl-C */
};

/* 0, or a negative errno: then nothing was changed. Standard input and output are one terminal. */
int screen_open(void) MUST_CHECK;
void screen_close(void);
/* Shows lines, each ended by a newline and no wider than the terminal; what is there of other text goes. */
void screen_draw(struct str lines);
/* Waits for so long at most. Ends the process, with the terminal as it was, on SIGTERM and the like. */
enum screen_event screen_wait(unsigned ms, char *key);

#endif
