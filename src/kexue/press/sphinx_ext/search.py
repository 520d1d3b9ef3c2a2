"""The site's search in English and Chinese: jieba cuts the text, the page cuts the query by the words there are."""

from __future__ import annotations

import logging
import re

from sphinx.search.en import SearchEnglish

_HAN = re.compile(r"[\u3400-\u9fff]+")


class EnglishAndChinese(SearchEnglish):
    """English words by their stems, Chinese ones as jieba cuts them for a search engine.

    A reader types Chinese without spaces, and cuts words otherwise than jieba does. So every pair of neighbouring
    characters is indexed, too, and the page cuts a query by the longest words that the index has.
    """

    lang = "kexue"
    language_name = "English and Chinese"
    js_splitter_code = r"""
var splitQuery = (query) => {
  const {terms, titleterms} = Search._index;
  const known = (word) => Object.hasOwn(terms, word) || Object.hasOwn(titleterms, word);
  const cut = (run) => {
    const words = [];
    for (let at = 0; at < run.length; ) {
      let length = Math.min(12, run.length - at);
      while (length > 1 && !known(run.slice(at, at + length))) length--;
      if (length > 1) words.push(run.slice(at, at + length));
      at += length;
    }
    return words.length ? words : [run];
  };
  return query
    .split(/[^\p{Letter}\p{Number}_\p{Emoji_Presentation}]+/gu)
    .flatMap((word) => word.split(/([\u3400-\u9fff]+)/u))
    .filter((word) => word)
    .flatMap((word) => (/[\u3400-\u9fff]/u.test(word) ? cut(word) : [word]));
};
"""

    def split(self, input: str) -> list[str]:
        """The words of a text."""
        import jieba

        jieba.setLogLevel(logging.WARNING)
        runs = _HAN.findall(input)
        words = [word for run in runs for word in jieba.cut_for_search(run)]
        pairs = [run[at : at + 2] for run in runs for at in range(len(run) - 1)]
        return [*super().split(_HAN.sub(" ", input)), *words, *pairs]

    def word_filter(self, stemmed_word: str) -> bool:
        """Whether a word is worth indexing: no stopword, no single Chinese character."""
        single = len(stemmed_word) == 1 and _HAN.match(stemmed_word) is not None
        return not single and super().word_filter(stemmed_word)
