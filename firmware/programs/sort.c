/* Sorting: quicksort, heapsort and a stable merge sort of the same numbers, and strings by their bytes. */
#include "program.h"

#define COUNT 12000
#define WORDS 1500
#define WORD 12

static u32 original[COUNT], work[COUNT], spare[COUNT];
static char words[WORDS][WORD];

static void insertion(u32 *a, int n)
{
    for (int i = 1; i < n; i++) {
        u32 x = a[i];
        int j = i;
        for (; j > 0 && a[j - 1] > x; j--)
            a[j] = a[j - 1];
        a[j] = x;
    }
}

static void quick(u32 *a, int n)
{
    while (n > 16) {
        u32 x = a[0], y = a[n / 2], z = a[n - 1];
        u32 pivot = x < y ? (y < z ? y : x < z ? z : x) : (x < z ? x : y < z ? z : y);
        int i = 0, j = n - 1;
        while (i <= j) {
            while (a[i] < pivot)
                i++;
            while (a[j] > pivot)
                j--;
            if (i <= j) {
                u32 t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        if (j + 1 < n - i) {
            quick(a, j + 1);
            a += i;
            n -= i;
        } else {
            quick(a + i, n - i);
            n = j + 1;
        }
    }
    insertion(a, n);
}

static void sift(u32 *a, int at, int n)
{
    u32 x = a[at];
    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && a[child + 1] > a[child])
            child++;
        if (a[child] <= x)
            break;
        a[at] = a[child];
    }
    a[at] = x;
}

static void heap(u32 *a, int n)
{
    for (int i = n / 2; i-- > 0;)
        sift(a, i, n);
    for (int i = n; i-- > 1;) {
        u32 t = a[0];
        a[0] = a[i];
        a[i] = t;
        sift(a, 0, i);
    }
}

/* Bottom-up, by the high halves only, so that equal keys show whether it is stable. */
static void merge(u32 *a, u32 *b, int n)
{
    for (int width = 1; width < n; width *= 2) {
        for (int start = 0; start < n; start += 2 * width) {
            int middle = start + width < n ? start + width : n, end = start + 2 * width < n ? start + 2 * width : n;
            int i = start, j = middle;
            for (int k = start; k < end; k++)
                b[k] = i < middle && (j >= end || a[i] >> 16 <= a[j] >> 16) ? a[i++] : a[j++];
        }
        memcpy(a, b, n * sizeof *a);
    }
}

static int compare(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (u8)*a - (u8)*b;
}

static void sort_words(void)
{
    for (int gap = WORDS / 2; gap > 0; gap /= 2)
        for (int i = gap; i < WORDS; i++)
            for (int j = i - gap; j >= 0 && compare(words[j], words[j + gap]) > 0; j -= gap) {
                char t[WORD];
                memcpy(t, words[j], WORD);
                memcpy(words[j], words[j + gap], WORD);
                memcpy(words[j + gap], t, WORD);
            }
}

static void report(const char *name)
{
    int sorted = 1;
    for (int i = 1; i < COUNT; i++)
        sorted &= work[i - 1] >> 16 <= work[i] >> 16;
    printf("%s: %s, first %u, last %u, digest %llx\n", name, sorted ? "sorted" : "NOT SORTED", work[0],
           work[COUNT - 1], digest(DIGEST_START, work, sizeof work));
}

void program(void)
{
    u64 seed = 1;
    for (int i = 0; i < COUNT; i++)
        original[i] = next_random(&seed);
    for (int i = 0; i < WORDS; i++)
        for (int j = 0, n = 3 + next_random(&seed) % (WORD - 4); j < n; j++)
            words[i][j] = 'a' + next_random(&seed) % 26;
    memcpy(work, original, sizeof work);
    quick(work, COUNT);
    report("quicksort");
    memcpy(work, original, sizeof work);
    heap(work, COUNT);
    report("heapsort");
    memcpy(work, original, sizeof work);
    merge(work, spare, COUNT);
    report("merge sort");
    sort_words();
    printf("words: %s to %s, digest %llx\n", words[0], words[WORDS - 1], digest(DIGEST_START, words, sizeof words));
}
