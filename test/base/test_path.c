#include "base/path.h"

#include "support/mu_test.h"

MU_TEST(path, written_steps_read_as_a_caller_would_write_them)
{
    mu__path_text path;

    mu__path_begin(&path, "$");
    mu__path_add_name(&path, "rows", 4);
    mu__path_add_index(&path, 3);
    mu__path_add_name(&path, "a.b", 3);
    mu__path_add_name(&path, "", 0);
    mu__path_add_key(&path, (const unsigned char *)"\xe0", (const unsigned char *)"\xe0" + 1);
    mu_check_str(path.text, "$.rows[3][\"a.b\"][\"\"][-32]");
}

MU_TEST(path, written_paths_are_bounded_and_have_no_control_character)
{
    mu__path_text path;
    char name[200];

    memset(name, 'n', sizeof name);
    mu__path_begin(&path, "$");
    mu__path_add_name(&path, "\x1b[2J\n", 5);
    mu_check_str(path.text, "$[\"\\x1b[2J\\n\"]");
    for (int i = 0; i < 10; i++) {
        mu__path_add_name(&path, name, sizeof name);
        mu_check_lt(strlen(path.text), sizeof path.text);
        mu__path_add_index(&path, 1);
    }
    mu_check_contains(path.text, "nnn...");
    mu_check_str(path.text + strlen(path.text) - 3, "...");
    mu_check_eq(strlen(path.text), strcspn(path.text, "\x1b\n"));
}

static int steps(const char *text)
{
    const char *rest = mu__path_start(text);
    mu__path_step step;
    int count = 0;

    while ((rest = mu__path_next(rest, &step)) && step.kind != MU__PATH_END)
        count++;
    return rest ? count : -1;
}

MU_TEST(path, is_taken_apart_into_steps_or_refused)
{
    mu_check_eq(steps(NULL), 0);
    mu_check_eq(steps(""), 0);
    mu_check_eq(steps("$"), 0);
    mu_check_eq(steps("$x"), 1);
    mu_check_eq(steps("a.b[3].c"), 4);
    mu_check_eq(steps("$.a[-1][\"x].y\"].z"), 4);
    mu_check_eq(steps("[0][1]"), 2);
    mu_check_eq(steps("."), -1);
    mu_check_eq(steps("a."), -1);
    mu_check_eq(steps("a]"), -1);
    mu_check_eq(steps("a[]"), -1);
    mu_check_eq(steps("a[ 1]"), -1);
    mu_check_eq(steps("a[1"), -1);
    mu_check_eq(steps("a[--1]"), -1);
    mu_check_eq(steps("a[\"b]"), -1);
}
