"""The book's own words in English and Chinese, and how a page holds both: the reader's switch hides one by CSS alone."""

from __future__ import annotations

from html import escape

VERDICT_ZH = {"reproduced": "复现", "refuted": "不成立", "inconclusive": "未定", "untested": "未测"}
PART_ZH = {
    "The book": "本书",
    "Generative models": "生成模型",
    "Language": "语言",
    "Optimisation": "优化",
    "Regularisation": "正则化",
    "Architecture": "架构",
    "Behind the numbers": "数字背后",
    "Library": "代码库",
}
_CHINESE = {
    **VERDICT_ZH,
    **PART_ZH,
    "article": "原文",
    "paper": "论文",
    "sequel": "后续",
    "check": "校验",
    "ours": "本书",
    "exact": "精确",
    "seeds": "随机种子",
    "draws": "抽样",
    "examples": "样例",
    "smoke": "冒烟",
    "quick": "快速",
    "full": "完整",
    "cpu": "CPU",
    "Verdict": "判定",
    "Verdicts": "判定",
    "Claim": "论断",
    "Claims": "论断",
    "Chapter": "章节",
    "Kind": "类型",
    "Scale": "规模",
    "Expected": "预期",
    "Measured": "实测",
    "Source": "出处",
    "Article": "原文",
    "Paper": "论文",
    "Commit": "提交",
    "Device": "设备",
    "Machine": "机器",
    "Duration": "用时",
    "Peak memory": "峰值内存",
    "Versions": "版本",
    "Data": "数据",
    "Seed": "种子",
    "Seeds": "种子",
    "Run": "运行",
    "Runs": "运行",
    "Started": "开始时间",
    "Seconds": "秒",
    "Run by run": "逐次运行",
    "Run it again": "重新运行",
    "Run it again:": "重新运行：",
    "No stored run.": "没有存档的运行。",
    "no interval": "无区间",
    "At smoke scale": "冒烟规模",
    "At quick scale": "快速规模",
    "At full scale": "完整规模",
    "measured": "实测",
    "Arguments": "参数",
    "Attributes": "属性",
    "Returns": "返回",
    "Yields": "产出",
    "Raises": "异常",
    "Verdicts of this chapter": "本章的判定",
    "Every claim of the book": "全书的论断",
    "What the runs took": "运行所用",
    "Every run behind the numbers": "数字背后的每次运行",
    "Data sets": "数据集",
    "Slowest cells": "最慢的单元",
    "Cell": "单元",
    "Share": "占比",
    "Benchmarks": "对比测试",
    "Open": "打开",
    "Key figure": "关键图",
    "at full scale": "完整规模",
    "measured with older code": "由旧代码测得",
    "not measured": "未测",
    "not frozen": "无记录",
    "Time": "用时",
    "State": "状态",
    "A run": "一次运行",
    "Total": "合计",
    "CPU": "CPU 用时",
    "Licence": "许可",
    "Digest": "摘要",
    "this site": "本站",
    "on record": "存档",
}


def translated(english: str) -> str:
    """The Chinese for one of the book's own words; the word itself if it has none."""
    return _CHINESE.get(english, english)


def both(english: str, chinese: str | None = None) -> str:
    """Words of the book itself in both languages: the Chinese shows only where the reader has asked for it.

    Args:
        english: plain text.
        chinese: its translation; from the book's own list if None.
    """
    found = _CHINESE.get(english) if chinese is None else chinese
    if not found or found == english:
        return escape(english)
    return (
        f'<span class="kx-if-en">{escape(english)}</span>'
        f'<span class="kx-if-zh" lang="zh-CN">{escape(found)}</span>'
    )


def source_place(path: str, line: int) -> str:
    """A line of the library's source in words, in both languages."""
    return both(f"{path}, line {line}", f"{path}，第 {line} 行")


def pair(english: str, chinese: str, tag: str = "div", classes: str = "") -> str:
    """A statement or title in both languages: both show until the reader chooses one."""
    if not chinese:
        return f'<{tag} class="{classes}">{escape(english)}</{tag}>'
    return (
        f'<{tag} class="{classes} kx-en">{escape(english)}</{tag}>'
        f'<{tag} class="{classes} kx-zh kx-pair" lang="zh-CN">{escape(chinese)}</{tag}>'
    )


def han(text: str, tag: str = "span") -> str:
    """Chinese text that has no English beside it, marked as such for fonts, voices and search."""
    return f'<{tag} lang="zh-CN" class="kx-zh">{escape(text)}</{tag}>' if text else ""


def label_rules() -> str:
    """The style rules that name the cells of a table on a phone in Chinese, made of the book's own list."""
    return "".join(
        f'html[data-language="zh"] .kx-table td[data-label="{english}"]::before {{ content: "{chinese}"; }}\n'
        for english, chinese in _CHINESE.items()
        if english[0].isupper()
    )
