/* hello: act 2, the supervision tree and two first requests. Called by main. */
#include "hello.h"

#include <stdlib.h>

#include "interrupt.h"

#define EXPRESSION "2 ** 10 - 6 * 7"
#define ANSWER     982

/* The answer as JSON, NULL if there is none. */
static char *ask(demo *d, const char *command, const mu_value *args, mu_value *ret_answer)
{
    char *text = NULL;

    if (account_execute(&d->account, d->pool, command, args, NULL, ret_answer, NULL) == MU_OK)
        mu_value_to_json(ret_answer, &text, NULL);
    return text;
}

bool hello_run(demo *d, hello *h)
{
    mu_value args = MU_VALUE_INIT, pong = MU_VALUE_INIT, number = MU_VALUE_INIT;
    bool good;

    good = mu_pool_tree(d->pool, &h->tree) == MU_OK &&
           mu_value_pack(&args, NULL, "{s:s}", "expression", EXPRESSION) == MU_OK;
    if (good) {
        h->ping = ask(d, "ping", NULL, &pong);
        h->calculated = ask(d, "calculate", &args, &number);
        good = mu_value_bool(&pong, "pong", false) && mu_value_int(&number, NULL, 0) == ANSWER;
        if (!interrupted())
            account_check(&d->account, good, "ping and calculate were answered");
    }
    mu_value_clear(&args);
    mu_value_clear(&pong);
    mu_value_clear(&number);
    return good && !interrupted();
}

void hello_print(demo *d, const hello *h)
{
    screen_text(&d->screen, "  ", h->tree);
    screen_line(&d->screen, "%s", "");
    screen_line(&d->screen, "  ping " DIM "→" END " %s", h->ping);
    screen_line(&d->screen, "  calculate(\"" EXPRESSION "\") " DIM "→" END " %s", h->calculated);
}

json_t *hello_json(const hello *h)
{
    return json_pack("{s:s?, s:s?, s:s?}", "tree", h->tree, "ping", h->ping, "calculate",
                     h->calculated);
}

void hello_free(hello *h)
{
    free(h->tree);
    free(h->ping);
    free(h->calculated);
}
