"""The words by which questions are told apart: patterns with weights, small talk, what is out of scope."""

import re
from collections.abc import Mapping

from agents.state import Category

# A topic's weight is the sum of what it matches. Words of 1 hint at a topic that others may claim too.
RULES: Mapping[Category, tuple[tuple[str, int], ...]] = {
    "spend_breakdown": (
        (
            r"\b(where|what|which|wo|wohin)\b.{0,60}\b(spend\w*|money|bill|budget|costs?|geld|kosten"
            r"|ausgaben)\b.{0,20}\b(go|goes|going|come|comes|from|to|geht|gehen|entsteh\w*)\b",
            3,
        ),
        (r"\b(break ?-?downs?|broken down|split up|aufschluss\w*|aufteilung)\b", 3),
        (
            r"\b(cost|spend|spent|spending|money|bill|expens\w*)\b.{0,30}\b(by|per|each) (model|project|team"
            r"|user|key|size|request)s?\b",
            3,
        ),
        (r"\b(how much|what)\b.{0,40}\b(spend|spent|spending|pay|paying|paid|bill|kosten|ausgeben)\b", 2),
        (
            r"\bhow much\b.{0,60}\bcosts?\b|\bwhat (does|did|do)\b.{0,60}\bcost\b|\bwhat (is|are|was"
            r"|were)\b.{0,30}\bcosts?\b",
            2,
        ),
        (r"\b(total|overall|whole|entire) (cost|spend\w*|bill|price)\b", 2),
        (r"\b(cost|spend\w*|bill) (drivers?|overview|summary|report|analysis)\b", 3),
        (
            r"\b(most expensive|biggest|dearest|priciest|costliest) (models?|projects?|teams?|users?"
            r"|part)\b",
            3,
        ),
        (
            r"\b(which|what|who)\b.{0,40}\b(most expensive|expensive|costs? (us )?(the )?most"
            r"|spends? (the )?most|dearest)\b",
            3,
        ),
        (r"\b(spend\w*|costs?|bills?|money|expens\w*|price[sd]?|pay\w*|kosten|ausgaben|usd|dollars?)\b", 1),
    ),
    "trend": (
        (r"\b(trends?|trending|over time|timeline|time series|verlauf|peaks?|spik\w+|surg\w+)\b", 3),
        (
            r"\b(most expensive|costliest|priciest|dearest) (hours?|days?|minutes?|times?|periods?"
            r"|moments?)\b",
            3,
        ),
        (
            r"\b(spend\w*|costs?|bills?)\b.{0,40}\b(ris\w+|grow\w*|increas\w+|going up|went up|fall\w*"
            r"|declin\w+|decreas\w+|going down|per (hour|day|minute|week)|by (hour|day|minute|week)|daily"
            r"|hourly)\b",
            3,
        ),
        (r"\b(daily|hourly|per[- ]minute) (costs?|spend\w*)\b", 3),
        (r"\bwhen\b.{0,40}\b(spend\w*|costs?|expens\w*|pay)\b", 3),
        (r"\b(ris\w+|growing|growth|increas\w+)\b", 1),
    ),
    "model_comparison": (
        (r"\b(compar\w+|versus|vs|alternatives?|vergleich\w*|benchmark) ?", 2),
        (
            r"\b(cheaper|smaller|other|another|different|alternative|andere\w*|guenstiger\w*"
            r"|günstiger\w*) (llms?|models?|modelle?|providers?)\b",
            3,
        ),
        (
            r"\b(which|what) (llm|model|provider)\b.{0,30}\b(should|could|would|best|better|cheapest"
            r"|instead)\b|\bcheapest (llm|model)\b",
            3,
        ),
        (
            r"\b(switch\w*|mov(e|ed|ing)|migrat\w+|chang\w+|replac\w+|wechsel\w*)\b.{0,40}\b(models?"
            r"|providers?|to|from|with)\b",
            2,
        ),
        (r"\binstead of\b|\brather than\b|\bif we (used|use|had used|ran|run|took|take)\b", 2),
    ),
    "savings": (
        (
            r"\b(cut|cuts|cutting|reduc\w+|lower\w*|decreas\w+|bring down|drive down|shrink|trim|slash|halve"
            r"|senk\w+|reduzier\w*)\b",
            2,
        ),
        (r"\b(optimi[sz]\w+|recommend\w*|advice|advise|suggest\w*|action plan|improve\w*|empfehl\w*)\b", 2),
        (
            r"\b(sav(e|es|ed|ing|ings)|spar\w+|einspar\w*|cheaper|less money|pay less|spend less"
            r"|too (expensive|much|high))\b",
            2,
        ),
        (
            r"\b(full|complete|whole) (report|analysis|picture|overview)\b|\b(analy[sz]e|analysis|audit"
            r"|review|overview|report)\b",
            2,
        ),
        (r"\bwhat (should|can|could|shall) (we|i) do\b", 2),
    ),
    "caching": (
        (r"\b(prompt|prefix|context|input)?[ -]?(cach\w+|kv[- ]?cache)\b", 3),
        (
            r"\b(shared|common|repeat\w*|same|identical|duplicat\w*)\b.{0,20}\b(prefix\w*|prompts?"
            r"|system prompts?|input)\b",
            3,
        ),
    ),
    "batch": (
        (r"\b(batch\w*|asynchron\w*|async|off-?peak|overnight|stapel\w*)\b", 3),
        (
            r"\b(can|could|may|able to|would|to|kann|können) (wait|be delayed|run later|warten)\b|\b(not|non"
            r"|isn.?t|aren.?t)[- ]?urgent\b|\bwait\w*\b",
            3,
        ),
    ),
    "forecast": (
        (
            r"\b(forecast\w*|predict\w*|project(ed|ion|ions)|extrapolat\w+|outlook|prognose\w*|hochrechn\w*"
            r"|vorhersag\w*)\b",
            3,
        ),
        (
            r"\b(next|coming|this|end of( the)?|rest of( the)?|by) (month|quarter|year|week)('?s)?( end)?\b"
            r"|\bmonth[- ]?end\b",
            3,
        ),
        (r"\b(per|a|each|every) (month|year)\b|\b(monthly|yearly|annual\w*)\b", 2),
        (r"\b(will|going to|gonna|heading)\b.{0,30}\b(cost|spend|pay|bill)\b|\bheading\b|\brun ?rate\b", 3),
    ),
    "dataset_question": (
        (r"\b(how many|number of|count( of)?|wie ?viele|anzahl)\b", 3),
        (
            r"\b(average|avg|mean|median|percentile|p\d{2}|maximum|minimum|max|min|largest|longest|smallest"
            r"|shortest|biggest|durchschnitt\w*)\b.{0,40}\b(tokens?|requests?|inputs?|outputs?|prompts?"
            r"|calls?|answers?|responses?|completions?|context)\b",
            3,
        ),
        (
            r"\b(tokens?|requests?|inputs?|outputs?|prompts?|calls?)\b.{0,30}\b(average|avg|mean|median"
            r"|percentile|p\d{2}|maximum|minimum)\b",
            3,
        ),
        (r"\b(busiest|quietest|slowest|peak traffic|rush)\b", 4),
        (
            r"\b(requests?|calls?|tokens?|traffic) (per|by|each|for each|in each) (hour|day|minute|weekday"
            r"|model|project|team|user)s?\b",
            4,
        ),
        (
            r"\b(which|what) (models?|projects?|teams?|users?)\b.{0,40}\b(in|used?|appear\w*|there|log"
            r"|data\w*|named?|contain\w*)\b",
            3,
        ),
        (
            r"\b(what|which) (period|time ?(range|span|frame)|dates?)\b|\b(from when|since when|how long"
            r"|time ?(range|span))\b",
            3,
        ),
        (
            r"\b(what('?s| is| does| do)?|describe|show|tell me|look)\b.{0,30}\b(in|about|contains?|holds?"
            r"|have|has)\b.{0,20}\b(data\w*|logs?|file|table|trace|csv|upload\w*)\b",
            3,
        ),
        (r"\b(describe|columns?|schema|sample rows?|first rows?|fields?)\b", 3),
        (
            r"\b(share|percentage|percent|fraction|proportion) of (the )?(requests?|calls?|tokens?"
            r"|traffic)\b",
            4,
        ),
        (
            r"\btop \d+\b|\bratio\b|\b(total|sum of|all)( the)? (input|output|cached|prompt"
            r"|completion)? ?tokens?\b",
            3,
        ),
        (r"^\s*(select|with)\b(?s:.*)\bfrom\b", 9),
        (r"\b(tokens?|requests?|rows?|dataset|data|log|traffic)\b", 1),
    ),
    "capabilities": (
        (
            r"\b(what|how) (all )?(can|could|do) (you|netra|this|it)\b.{0,20}\b(do|help|work|offer"
            r"|answer)?\W*$",
            4,
        ),
        (r"\b(who|what) (are|is) (you|netra|this)\b|\bwas kannst du\b|\bwer bist du\b", 4),
        (
            r"\b(how (do|does|can|should) (you|netra|i|we|one|this)) (work|use|upload|import|start|begin|add"
            r"|attach|get started)\b",
            4,
        ),
        (r"\b(which|what|supported) (file )?(formats?|files?|file types?)\b", 4),
        (r"\b(your|netra'?s?) (capabilit\w+|features?|skills?|tools?|abilit\w+|functions?)\b", 4),
        (r"^\s*(help|help me|hilfe|\?+)\W*$|\bwhat can i ask\b|\bexamples? (of )?questions?\b", 4),
        (
            r"\b(where|how)\b.{0,30}\b(prices?|list prices?|figures?|numbers?)\b.{0,20}\b(come|comes|from"
            r"|calculat\w*|comput\w*|get|know)\b",
            4,
        ),
    ),
}
UNRELATED = re.compile(
    r"\b(poems?|story|stories|jokes?|songs?|essays?|translat\w+|recipes?|weather|capital of|president"
    r"|football|stock|bitcoin|lyrics|haiku about|write (me )?(a|an|some) (?!query|select)\w+|password|hack\w*"
    r"|delete|drop table|ignore (all|your|the|previous|prior)|your (system )?(prompt|instructions))\b"
)
SMALL_TALK = re.compile(
    r"^\W*((hi|hello|hey|hallo|moin|servus|good (morning|afternoon|evening|day)|guten (tag|morgen|abend)"
    r"|thanks?( you)?( (so|very) much)?"
    r"|thx|danke( schön)?|cheers|great|nice|cool|ok(ay)?|bye|good ?bye|see you|perfect|well done"
    r"|how are you( doing)?( today)?"
    r"|how'?s it going|you'?re welcome|awesome|there|netra|everyone|team|a lot|that'?s|it'?s|is|was|very"
    r"|helpful)\b\W*)+$"
)
VOCABULARY = (
    "spend spending spent breakdown expensive expenses budget forecast predict prediction projection compare "
    "comparison alternatives cheaper smaller switch savings reduce reducing optimize optimise recommend "
    "recommendations suggest analysis analyse analyze overview caching cached cache prefix prompts batch "
    "batching asynchronous overnight requests tokens average median maximum minimum largest longest "
    "busiest quietest dataset models project projects output input monthly month trend trends peaks "
    "money costs where which"
).split()
# Words that are spelt right although they resemble the vocabulary.
KNOWN = frozenset(
    "batches month's monitor month months model models mean means expense expansive sped speed broken token "
    "request project prompt point points think thing things there these those their would could should about "
    "other output outputs input inputs sending saving saved waste wasted weather whether prices price praise "
    "forest largely large larger small longer longest spring spread special catch match watch there's "
    "here send sent sends mode modes tend tends bath cost spend move more most rend lend pent each when "
    "what".split()
)
