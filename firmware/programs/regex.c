/* Regular expressions: a compiler to a nondeterministic automaton, run as bit sets over a generated text. */
#include "program.h"

#define TEXT 20000
#define STATES 64

enum op { CHAR, ANY, CLASS, SPLIT, JUMP, MATCH };

struct state {
    enum op op;
    u8 low, high;
    int to, other;
};

static struct state states[STATES];
static int used;
static const char *pattern;
static char text[TEXT];

static int emit(enum op op, u8 low, u8 high)
{
    states[used] = (struct state){op, low, high, used + 1, 0};
    return used++;
}

static void alternatives(void);

static void atom(void)
{
    char c = *pattern++;
    if (c == '(') {
        alternatives();
        pattern++;
    } else if (c == '[') {
        emit(CLASS, pattern[0], pattern[2]);
        pattern += 4;
    } else {
        emit(c == '.' ? ANY : CHAR, c, c);
    }
}

/* Moves states[start..] up by one, to make room for a split in front of them. */
static void make_room(int start)
{
    for (int i = used++; i > start; i--) {
        states[i] = states[i - 1];
        states[i].to += states[i].to >= start;
        states[i].other += states[i].other >= start;
    }
}

static void repeated(void)
{
    int start = used;
    atom();
    if (*pattern == '+') {
        emit(SPLIT, 0, 0);
        states[used - 1].other = start;
        pattern++;
    } else if (*pattern == '*' || *pattern == '?') {
        make_room(start);
        if (*pattern == '*') {
            emit(JUMP, 0, 0);
            states[used - 1].to = start;
        }
        states[start] = (struct state){SPLIT, 0, 0, start + 1, used};
        pattern++;
    }
}

static void sequence(void)
{
    while (*pattern && *pattern != '|' && *pattern != ')')
        repeated();
}

static void alternatives(void)
{
    int start = used;
    sequence();
    while (*pattern == '|') {
        pattern++;
        make_room(start);
        int jump = emit(JUMP, 0, 0);
        states[start] = (struct state){SPLIT, 0, 0, start + 1, used};
        sequence();
        states[jump].to = used;
    }
}

static u64 follow(u64 set, int at)
{
    if (set >> at & 1)
        return set;
    set |= 1ull << at;
    if (states[at].op == JUMP)
        return follow(set, states[at].to);
    if (states[at].op == SPLIT)
        return follow(follow(set, states[at].to), states[at].other);
    return set;
}

/* Length of the longest match at `s`, or -1. */
static int match(const char *s)
{
    u64 set = follow(0, 0);
    int longest = -1;
    for (int n = 0; set; n++) {
        u64 after = 0;
        for (u64 left = set; left; left &= left - 1) {
            const struct state *t = &states[__builtin_ctzll(left)];
            u8 c = s[n];
            if (t->op == MATCH)
                longest = n;
            else if (t->op <= CLASS && c && (t->op == ANY || (c >= t->low && c <= t->high)))
                after = follow(after, t->to);
        }
        if (!s[n])
            break;
        set = after;
    }
    return longest;
}

void program(void)
{
    static const char *const patterns[] = {"ab+c", "(a|b)*cd?", "[a-c]+d[a-d]", "a.c.e", "(ab|cd)+(e|f)", "(a*b)*c+f"};
    u64 seed = 5;
    for (int i = 0; i < TEXT - 1; i++)
        text[i] = 'a' + next_random(&seed) % 6;
    for (u32 p = 0; p < ARRAY_LEN(patterns); p++) {
        int found = 0, longest = 0, where = -1;
        u64 hash = DIGEST_START;
        used = 0;
        pattern = patterns[p];
        alternatives();
        emit(MATCH, 0, 0);
        for (int i = 0; i < TEXT - 1; i++) {
            int n = match(text + i);
            if (n < 0)
                continue;
            found++;
            hash = digest(hash, &i, sizeof i);
            if (n > longest) {
                longest = n;
                where = i;
            }
        }
        printf("%s: %d states, %d matches, longest %d at %d, digest %llx\n", patterns[p], used, found, longest, where,
               hash);
    }
}
