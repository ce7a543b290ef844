"""How many sentences a line has, by spaCy's sentencizer: a sentence ends after . ! ? and their kin, once another word
follows that is neither punctuation nor such a mark.

White space counts as such a word where spaCy makes it one: anywhere but a single blank between two words, or after the
last one. Price: ~1 ns per word.
"""

from batchwright.documents.filters.english_words import ALL_PUNCTUATION, ENDS_SENTENCE, Words
from batchwright.foundation.compiled import hot_loop

_BLANK = 32


@hot_loop
def sentences(words: Words, first: int, stop: int, begin: int, end: int) -> int:
    """Sentences of codes[begin:end], whose words are those from `first` up to `stop`; at least 1."""
    count, ended, place = 1, False, begin
    for word in range(first, stop + 1):
        start = words.starts[word] if word < stop else end
        gap = start - place
        if ended and (gap > 1 or (gap == 1 and words.codes[place] != _BLANK)):
            count, ended = count + 1, False
        if word < stop:
            kind = words.kinds[word]
            if kind & ENDS_SENTENCE:
                ended = True
            elif ended and not kind & ALL_PUNCTUATION:
                count, ended = count + 1, False
            place = words.stops[word]
    return count
