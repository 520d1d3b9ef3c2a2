// The reader's language, and the scoreboard's filters. Every page is complete without this script.
(() => {
  const root = document.documentElement;
  const chinese = () => root.dataset.language === "zh";
  const WORDS = {
    Search: "搜索", "Search this book": "搜索本书", "On this page": "本页目录", previous: "上一章", next: "下一章",
    "The book": "本书", "Generative models": "生成模型", Language: "语言", Optimisation: "优化", Regularisation: "正则化",
    Architecture: "架构", Library: "代码库", "Kexue, Executed": "科学空间 · 可执行",
    "Search Results": "搜索结果",
  };
  const THEME = ".caption-text, .search-button__default-text, .prev-next-subtitle, .page-toc, .navbar-brand p";

  // What the theme itself has written, word by word: its text nodes, with the English kept to go back to.
  const translate = () => {
    for (const element of document.querySelectorAll(THEME)) {
      for (const node of element.childNodes) {
        if (node.nodeType !== Node.TEXT_NODE) continue;
        node.english ??= node.textContent;
        const word = node.english.trim();
        if (WORDS[word]) node.textContent = chinese() ? node.english.replace(word, WORDS[word]) : node.english;
      }
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

  document.addEventListener("DOMContentLoaded", () => {
    translate();
    document.getElementById("kexue-language")?.addEventListener("click", () => choose(chinese() ? "en" : "zh"));
    const table = document.querySelector(".kx-scoreboard");
    if (table) scoreboard(table);
    // From a disk no page may be fetched: the results stand without their excerpts.
    if (location.protocol === "file:" && window.DOCUMENTATION_OPTIONS) DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  });
})();
