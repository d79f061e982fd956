"use strict";
var __awaiter = (this && this.__awaiter) || function (thisArg, _arguments, P, generator) {
    function adopt(value) { return value instanceof P ? value : new P(function (resolve) { resolve(value); }); }
    return new (P || (P = Promise))(function (resolve, reject) {
        function fulfilled(value) { try { step(generator.next(value)); } catch (e) { reject(e); } }
        function rejected(value) { try { step(generator["throw"](value)); } catch (e) { reject(e); } }
        function step(result) { result.done ? resolve(result.value) : adopt(result.value).then(fulfilled, rejected); }
        step((generator = generator.apply(thisArg, _arguments || [])).next());
    });
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.handler = void 0;
const total = (changes) => changes.reduce((sum, change) => { var _a, _b, _c; return sum + Number((_c = (_b = (_a = change.dynamodb.NewImage) === null || _a === void 0 ? void 0 : _a.amount) === null || _b === void 0 ? void 0 : _b.N) !== null && _c !== void 0 ? _c : 0); }, 0);
const handler = (event) => __awaiter(void 0, void 0, void 0, function* () {
    for (const change of event.Records) {
        console.log("%s %s", change.eventName, total([change]));
    }
    return { batchItemFailures: [] };
});
exports.handler = handler;
