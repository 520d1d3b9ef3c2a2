// The reader's language, and the scoreboard's filters. Every page is complete without this script.
(() => {
  const root = document.documentElement;
  const chinese = () => root.dataset.language === "zh";
  const WORDS = {
    __proto__: null,
    Search: "搜索", "Search this book": "搜索本书", "On this page": "本页目录", previous: "上一章", next: "下一章",
    "The book": "本书", "Generative models": "生成模型", Language: "语言", Optimisation: "优化", Regularisation: "正则化",
    Architecture: "架构", Library: "代码库", "Kexue, Executed": "科学空间 · 可执行",
    "Make your own model stop": "让你自己的模型停下来",
    "Search Results": "搜索结果", "Skip to main content": "跳到正文", "Back to top": "回到顶部", Contents: "目录",
    "Show code cell source": "显示代码", "Hide code cell source": "隐藏代码", "Show code cell output": "显示输出",
    "Hide code cell output": "隐藏输出", "Show code cell content": "显示单元", "Hide code cell content": "隐藏单元",
    "Hide Search Matches": "不再标出", "Click to show": "点击显示", "Click to hide": "点击隐藏",
    // what stands in a tooltip or is read aloud
    Download: "下载", "The executed notebook": "执行过的笔记本", "The text": "文本", "Fullscreen mode": "全屏",
    "Toggle primary sidebar": "开关目录", "Toggle secondary sidebar": "开关本页目录", "Color mode": "明暗主题",
    "next page": "下一页", "previous page": "上一页", "Pages below": "下级页面", "Toggle hidden content": "展开或折叠", Copy: "复制", "Copied!": "已复制",
    "Launch interactive content": "在线运行", "Launch on Binder": "在 Binder 上运行", "Launch on Colab": "在 Colab 上运行",
    "Launch on JupyterHub": "在 JupyterHub 上运行",
    // headings that every chapter has
    "What was claimed": "论断", "What is claimed": "论断", "Beyond the article": "原文之外", Verdicts: "判定", Limits: "局限",
    Exercises: "练习", "Cost, and how to run it again": "代价与重新运行", "Verdicts, limits, cost": "判定、局限与代价",
  };
  const THEME = ".caption-text, .search-button__default-text, .prev-next-subtitle, .page-toc, .navbar-brand p, .onthispage, "
    + "a[href=\"#main-content\"], #pst-back-to-top, details.hide summary p, .toggle-details__summary-text, "
    + ".highlight-link a, .bd-main h1, article h2, article h3, .page-toc a, .bd-links a, .prev-next-title, .caption-number";
  const SPOKEN = ["title", "aria-label", "data-bs-title", "data-bs-original-title", "data-tooltip"];
  const SEARCH = {
    Searching: "正在搜索", "Search Results": "搜索结果", "Preparing search...": "正在准备…", ", in ": "，位于 ",
    "Your search did not match any documents. Please make sure that all words are spelled correctly and that you've selected enough categories.":
      "没有找到任何页面，请检查拼写或换一个词。",
    "Search finished, found ${resultCount} page(s) matching the search query.": "共找到 ${resultCount} 个页面。",
  };
  const said = (english) => WORDS[english] ?? english.replace(/^Fig\. (\d+)$/, "图 $1").replace(/^Table (\d+)$/, "表 $1");

  // What the theme itself has written, word by word: its text nodes, with the English kept to go back to.
  const translate = () => {
    for (const element of document.querySelectorAll(THEME)) {
      for (const node of element.childNodes) {
        if (node.nodeType !== Node.TEXT_NODE) continue;
        node.english ??= node.textContent;
        const word = node.english.trim();
        if (said(word) !== word) node.textContent = chinese() ? node.english.replace(word, said(word)) : node.english;
      }
    }
    for (const name of SPOKEN) {
      for (const element of document.querySelectorAll(`[${name}]`)) {
        const english = (element.spoken ??= {})[name] ??= element.getAttribute(name);
        if (WORDS[english]) element.setAttribute(name, chinese() ? WORDS[english] : english);
      }
    }
    if (chinese() && typeof Documentation !== "undefined") {
      // What addTranslations does, but for its Function made of a string, which the page's policy forbids.
      Object.assign(Documentation.TRANSLATIONS, SEARCH);
      Object.assign(Documentation, {LOCALE: "zh_CN", PLURAL_EXPR: () => 0});
    }
    for (const input of document.querySelectorAll("input[type=search]")) {
      input.english ??= input.placeholder;
      if (WORDS[input.english]) input.placeholder = chinese() ? WORDS[input.english] : input.english;
    }
    for (const abstract of document.querySelectorAll("details.kx-abstract")) abstract.open = chinese();
    const button = document.getElementById("kexue-language");
    if (button) button.setAttribute("aria-label", chinese() ? "EN: switch to English" : "中文：切换到中文");
  };

  const choose = (language) => {
    root.dataset.language = language;
    try { localStorage.setItem("kexue-language", language); } catch { /* then it holds for this page */ }
    translate();
    document.dispatchEvent(new Event("kexue-language"));
  };

  const scoreboard = (table) => {
    const filters = JSON.parse(document.getElementById("kexue-filters").textContent);
    const rows = [...table.tBodies[0].rows];
    rows.forEach((row, index) => (row.place = index));
    const form = document.createElement("form");
    form.className = "kx-filter";
    form.setAttribute("role", "search");
    const shown = document.createElement("output");
    const said = {
      chapter: ["Chapter", "章节"], verdict: ["Verdict", "判定"], kind: ["Kind", "类型"], scale: ["Scale", "规模"],
      words: ["Words", "文字"],
    };
    const asked = new URLSearchParams(location.search);
    const fields = Object.keys(filters).map((name) => {
      const select = document.createElement("select");
      select.name = name;
      select.append(new Option("", ""), ...filters[name].map(([value]) => new Option("", value)));
      select.value = asked.get(name) ?? "";
      return select;
    });
    const words = Object.assign(document.createElement("input"), {type: "search", name: "words"});
    words.value = asked.get("words") ?? "";
    for (const field of [...fields, words]) {
      const label = document.createElement("label");
      label.append(document.createElement("span"), field);
      form.append(label);
    }
    form.append(shown);

    const say = () => {
      const at = chinese() ? 1 : 0;
      form.setAttribute("aria-label", ["Filter the claims", "筛选论断"][at]);
      for (const field of [...fields, words]) field.previousSibling.textContent = said[field.name][at];
      for (const field of fields) {
        [...field.options].forEach((option, i) => {
          option.textContent = i ? filters[field.name][i - 1][1 + at] : ["all", "全部"][at];
        });
      }
      apply();
    };
    const apply = () => {
      const wanted = words.value.trim().toLowerCase();
      const some = fields.filter((field) => field.value);
      let count = 0;
      for (const row of rows) {
        const fits = some.every((field) => row.dataset[field.name] === field.value);
        row.hidden = !(fits && row.textContent.toLowerCase().includes(wanted));
        count += !row.hidden;
      }
      shown.textContent = chinese() ? `${rows.length} 条中的 ${count} 条` : `${count} of ${rows.length} claims`;
    };

    // Headings that sort: verdicts and chapters in the book's order, the rest by what the cell says.
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const name = Object.keys(said).find((key) => said[key][0] === head.textContent.trim().replace(said[key][1], ""));
        const order = name && filters[name]?.map(([value]) => value);
        const key = (row) => (order ? order.indexOf(row.dataset[name]) : row.cells[column].innerText);
        const compare = (a, b) => {
          const [x, y] = [key(a), key(b)];
          const first = typeof x === "number" ? x - y : x.localeCompare(y, undefined, {numeric: true});
          return (down ? -first : first) || a.place - b.place;
        };
        table.tBodies[0].append(...rows.sort(compare));
      });
    });
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    document.addEventListener("kexue-language", say);
    table.closest(".kx-scroll").before(form);
    say();
  };

  // From a disk no page may be fetched: the results stand without their excerpts.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  window.addEventListener("load", translate); // what other scripts have written in the meantime
  document.addEventListener("DOMContentLoaded", () => {
    translate();
    document.getElementById("kexue-language")?.addEventListener("click", () => choose(chinese() ? "en" : "zh"));
    const table = document.querySelector(".kx-scoreboard");
    if (table) scoreboard(table);
  });
})();
