/* `turnpike serve` and `turnpike check`: from options to exit status. */
#ifndef MASTER_SERVE_H
#define MASTER_SERVE_H

#include "base/base.h"
#include "master/options.h"

int serve_main(int argc, char **argv);
int check_main(int argc, char **argv);

#endif
