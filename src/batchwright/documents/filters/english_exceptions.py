"""English words that are split or kept whole by name, not by rule: contractions, abbreviations, emoticons.

`EXCEPTIONS` maps each to its parts. It is the list of spaCy 3.8's blank English pipeline (MIT; lang/en and lang,
tokenizer_exceptions.py), told as families: a pronoun or verb, and the endings that it takes with and without its
apostrophe. Every entry with ' has a twin with ’. Equal to the original's 1,347 but for four of white space.
"""

from collections.abc import Iterator

_NEGATED_AND_HAVE = "ca could do does did had may might must need ought sha should wo would"
_NEGATED = "ai are is was were have has dare"
_HAVE = "could might must should would"
_PRONOUNS = "i you he she it we they"
_QUESTIONS = "who what when where why how there that this these those"
_WORDS_OF_THEIR_OWN = "ill its hell shell shed were well whore"

_IRREGULAR = """
y'|all y|all how|'d|'y How|'d|'y not|'ve not|ve Not|'ve Not|ve can|not Can|not gon|na Gon|na got|ta Got|ta let|'s Let|'s
c'm|on C'm|on °|c|. °|f|. °|k|. °|C|. °|F|. °|K|.
"""

_WHOLE = r"""
' '' \") <space> C++ — \t \n 'S 's ‘S ‘s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout 'd
em 'em ll 'll nuff 'nuff ma'am Ma'am o'clock O'clock ä. ö. ü.
Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun. Kan.
Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. S.C.
Sep. Sept. Tenn. Va. Wash. Wis. a.m. p.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc.
Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s.
:) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :(( :-((
:((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0 :-0 :() >:o :*
:-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< ._. ;_; -_- -__-
v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) (._.) (>_<)
(*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>
"""

_DROPPED_G = "doin goin nothin nuthin ol somethin lovin havin"


def _families() -> Iterator[tuple[str, str]]:
    """(stem, "ending|ending"), in lower case, with the apostrophes that are written."""
    pronouns, questions = _PRONOUNS.split(), _QUESTIONS.split()
    for verb in (*_NEGATED_AND_HAVE.split(), *_NEGATED.split()):
        yield verb, "n't"
    for verb in _NEGATED_AND_HAVE.split():
        yield verb, "n't|'ve"
    for verb in _HAVE.split():
        yield verb, "'ve"
    for word in pronouns + questions:
        yield from ((word, ending) for ending in ("'ll", "'ll|'ve", "'d", "'d|'ve"))
    yield from (("i", "'m"), ("i", "'m|a"))
    for word in {*pronouns, *questions} - {"he", "she", "it", "that", "this"}:
        yield word, "'ve"
    for word in {*pronouns, *questions} - {"i", "he", "she", "it", "that", "this"}:
        yield word, "'re"
    for word in {"he", "she", "it", *questions} - {"these", "those"}:
        yield word, "'s"


def _splits() -> Iterator[str]:
    """Every exception, its parts divided by |."""
    own = _WORDS_OF_THEIR_OWN.split()
    for stem, endings in _families():
        bare = endings.replace("'", "")
        for word in (stem, stem.title()):
            yield f"{word}|{endings}"
            if stem + bare.replace("|", "") not in own:
                yield f"{word}|{bare}"
    for hour in range(1, 13):
        yield from (f"{hour}|{half}" for half in ("a.m.", "am", "p.m.", "pm"))
    yield from _IRREGULAR.split()


def _exceptions() -> dict[str, tuple[str, ...]]:
    letters = [f"{letter}." for letter in "abcdefghijklmnopqrstuvwxyz"]
    dropped = [word + end for stem in _DROPPED_G.split() for word in (stem, stem.title()) for end in ("", "'")]
    parts = {whole: (whole,) for whole in (*_WHOLE.split(), *letters, *dropped)}
    parts |= {split.replace("|", ""): tuple(split.split("|")) for split in _splits()}
    return parts | {
        word.replace("'", "’"): tuple(part.replace("'", "’") for part in split) for word, split in parts.items()
    }


EXCEPTIONS = _exceptions()
